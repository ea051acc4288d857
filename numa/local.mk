libholdfast_core_la_SOURCES += %D%/distance.c %D%/distance.h %D%/plan.c %D%/plan.h %D%/topology.c %D%/topology.h
