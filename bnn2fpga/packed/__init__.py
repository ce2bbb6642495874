"""Binary networks on a processor: C++ on bit planes, compiled for the processor at hand."""
