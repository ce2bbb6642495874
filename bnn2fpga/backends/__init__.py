"""A Design as text: HLS C++, SystemVerilog, the Zynq around it, the vendor's block design.

Knows designs and templates; runs nothing."""
