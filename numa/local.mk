libholdfast_core_la_SOURCES += %D%/crew.c %D%/crew.h %D%/distance.c %D%/distance.h %D%/topology.c %D%/topology.h
