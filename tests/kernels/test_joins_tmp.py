import numpy as np
from hypothesis import strategies as st
from bnn2fpga.ir import BIPOLAR, TERNARY, IntType, Stream
from bnn2fpga.layers import *
from tests.contract import *
class TestAdd(KernelContract):
    layers = st.builds(lambda a,b,s,t,o,c: Sum(Stream((3,c),a),Stream((3,c),b),(s,t),o), int_types(), int_types(), st.integers(0,3), st.integers(0,3), st.integers(-5,5), st.sampled_from([6,12,24]))
class TestConcat(KernelContract):
    layers = st.builds(lambda a,c,d: Concat(Stream((3,c),a),Stream((3,d),a)), int_types(), st.sampled_from([6,12,24]), st.sampled_from([6,12,24]))
class TestMax(KernelContract):
    layers = st.builds(lambda t,n,c: WindowMax(Stream((3,c*n),t),n), int_types(), st.integers(1,4), st.sampled_from([1,6,12]))
class TestSum(KernelContract):
    layers = st.builds(lambda t,n,c: WindowSum(Stream((3,c*n),t),n), int_types(), st.integers(1,4), st.sampled_from([1,6,12]))
class TestDw(KernelContract):
    layers = st.builds(lambda t,w,n,c: ChannelDot(Stream((3,c*n),t),random_values(w,(c,n),3),w), int_types(), st.sampled_from([BIPOLAR,TERNARY,IntType(2,True)]),st.integers(1,4), st.sampled_from([6,12]))
