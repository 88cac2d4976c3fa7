"""How far the jobs of a workflow are."""

from sgdtails.report import plan
from sgdtails.report.pace import Job, Pace


def test_a_job_is_expected_to_take_as_long_as_those_like_it():
    small, large, other = Job("train", "small", 4), Job("train", "large", 1), Job("train", "other", 1)
    pace = Pace({1: small, 2: small, 3: large, 4: large, 5: other})
    for job, seconds in ((1, 40.0), (3, 300.0)):
        pace.start(job, now=0.0)
        pace.finish(job, now=seconds)
    pace.start(2, now=400.0)
    # 40 s of the second small one, 300 of the large one, 340 / 5 of the other: 408 s, of which 30 are done
    assert pace.line(now=430.0) == "2 of 5 jobs done, 49% of the work, about 0:06:18 left"


def test_jobs_side_by_side_halve_the_time():
    pace = Pace(dict.fromkeys(range(6), Job("tails")))
    for job in (0, 1):
        pace.start(job, now=0.0)
        pace.finish(job, now=60.0)
    for job in (2, 3):
        pace.start(job, now=60.0)
    assert pace.line(now=60.0).endswith("33% of the work, about 0:02:00 left")


def test_no_time_is_given_while_nothing_is_known_of_training():
    pace = Pace({1: Job("dataset"), 2: Job("train"), 3: Job("figure")})
    pace.start(1, now=0.0)
    pace.finish(1, now=2.0)
    assert pace.line(now=2.0) == "1 of 3 jobs done"
    pace.start(2, now=2.0)
    pace.finish(2, now=102.0)
    assert pace.line(now=102.0) == "2 of 3 jobs done, 98% of the work, about 0:00:02 left"


def test_a_second_attempt_counts_from_its_own_start():
    pace = Pace({1: Job("tails"), 2: Job("tails")})
    pace.start(1, now=0.0)
    pace.start(1, now=100.0)
    pace.finish(1, now=110.0)
    assert pace.line(now=110.0).endswith("50% of the work, about 0:00:10 left")


def test_a_plan_counts_every_job_and_fits_a_screen():
    stages = [
        "dataset",
        "initial",
        "initial_tails",
        "train",
        "average",
        "tails",
        "laws",
        "initial_laws",
        "compression",
        "prune",
        "bounds",
        "figure",
    ]
    jobs = [Job(stage, networks=3) for stage in stages for _ in range(500)] + [Job("claims"), Job("calibration_sample")]
    lines = plan.lines(jobs)
    assert len(lines) <= 15
    assert max(map(len, lines)) < 80
    counts = {line[:20].strip(): int(line[20:28].replace(",", "")) for line in lines[1:]}
    assert counts["total"] == len(jobs) == sum(counts.values()) - counts["total"]
    assert (counts["tail indices"], counts["laws"], counts["tables"], counts["simulations"]) == (1000, 1000, 1, 1)
    assert lines[1 + list(counts).index("laws")].split()[-1] == "3,000"  # networks
