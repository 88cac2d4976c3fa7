"""Which law do a layer's weights follow? Maximum-likelihood fits of its entries and rows, compared, and the layer's label."""
