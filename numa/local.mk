libholdfast_core_la_SOURCES += %D%/topology.c %D%/topology.h
