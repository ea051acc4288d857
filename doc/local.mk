# Installed under the same name as here, so that the links between README.md and the guides hold.
guidesdir = $(docdir)/doc
dist_guides_DATA = \
	%D%/README.md \
	%D%/comparison.md \
	%D%/containers.md \
	%D%/from-jemalloc.md \
	%D%/huge-pages.md \
	%D%/mariadb.md \
	%D%/measurements.md \
	%D%/monitoring.md \
	%D%/others-tests.md \
	%D%/postgresql.md \
	%D%/protocols.md \
	%D%/redis.md \
	%D%/rocksdb.md \
	%D%/size.md \
	%D%/troubleshooting.md
