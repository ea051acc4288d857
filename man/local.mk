dist_man_MANS += \
	%D%/hf_claim.3 \
	%D%/hf_frames_alloc.3 \
	%D%/hf_heap_create.3 \
	%D%/hf_uring_register.3 \
	%D%/holdfast.1 \
	%D%/holdfast.3 \
	%D%/holdfast.7 \
	%D%/holdfast-inspect.5 \
	%D%/holdfast-messages.7 \
	%D%/holdfast-uring.7

# Links, so that each call and command is found by its own name.
EXTRA_DIST += %D%/links.sh
hf_man_links = $(SHELL) $(srcdir)/%D%/links.sh $(srcdir)/%D% | while read -r page link; \
	do directory=$(DESTDIR)$(mandir)/man$${page\#\#*.}
install-data-hook:
	$(hf_man_links); ln -sf "$$page" "$$directory/$$link" || exit 1; done
uninstall-hook:
	$(hf_man_links); rm -f "$$directory/$$link"; done
