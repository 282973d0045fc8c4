"""Values that limits can, or cannot, have: as files and command lines write them."""

from __future__ import annotations

WRITTEN: list[object] = [
    *(1, 3, 4, 64, 0, -1, 1 << 22, (1 << 22) + 1, (1 << 31) - 1, 1 << 31, 1 << 53, True, 1.5),
    *("1", "0", "01", "512M", "512MiB", "512MB", "512m", "1.5G", "999T", "1000T", "999999G", "1K\n", " 1K"),
    *("90s", "90", "10m", "2h", "9999d", "10000d", "999999999s", "9999999999", "1w", "", "K", "s", "\u0663"),
    *("500ms", "0ms", "999999999ms", "1 ms", "ms"),
]
