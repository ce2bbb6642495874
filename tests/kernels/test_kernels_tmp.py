from hypothesis import strategies as st

from bnn2fpga.ir import BIPOLAR, TERNARY, IntType, Stream
from bnn2fpga.layers import *
from tests.contract import *


def dots(types, wtypes):
    @st.composite
    def make(draw):
        t = draw(types)
        wt = draw(wtypes)
        k = draw(st.sampled_from([1, 6, 12, 27, 70, 144]))
        m = draw(st.sampled_from([1, 4, 6, 12]))
        p = draw(st.integers(1, 3))
        return Dot(Stream((p, k), t), random_values(wt, (m, k), draw(st.integers(0, 999))), wt)

    return make()


class TestXnor(KernelContract):
    layers = dots(st.sampled_from([BIPOLAR, TERNARY]), st.just(BIPOLAR))


class TestInt(KernelContract):
    layers = dots(int_types(), st.sampled_from([BIPOLAR, IntType(2, True), TERNARY])).filter(
        lambda d: not (d.weight_type == BIPOLAR and d.source.type in (BIPOLAR, TERNARY))
    )


class TestWin(KernelContract):
    @staticmethod
    @st.composite
    def make(draw):
        kh, kw = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        h, w = draw(st.integers(5, 8)), draw(st.integers(5, 8))
        return Windows(
            Stream((h, w, draw(st.sampled_from([1, 2, 6, 12]))), draw(int_types(3))),
            (kh, kw),
            (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
            tuple(draw(st.integers(0, 2)) for _ in range(4)),
            (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
            draw(st.integers(-1, 1)),
        )

    layers = make()


class TestFork(KernelContract):
    layers = st.builds(
        lambda t, n, c: Copies(Stream((3, c), t), n),
        int_types(),
        st.integers(1, 3),
        st.sampled_from([1, 6, 12]),
    )


class TestMax(KernelContract):
    layers = st.builds(
        lambda t, n, c: WindowMax(Stream((3, c * n), t), n),
        int_types(),
        st.integers(1, 4),
        st.sampled_from([1, 6, 12]),
    )


class TestTop(KernelContract):
    layers = st.builds(lambda t, c: Top1(Stream((c,), t)), int_types(), st.sampled_from([1, 6, 12]))


class TestWidth(KernelContract):
    layers = st.builds(
        lambda t, a, b: Regroup(Stream((3, 24), t, a), b),
        int_types(),
        st.sampled_from([1, 2, 6, 12, 24]),
        st.sampled_from([1, 24]),
    )
