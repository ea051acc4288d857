dist_man_MANS += \
	%D%/hf_frames_alloc.3 \
	%D%/hf_uring_register.3 \
	%D%/holdfast.1 \
	%D%/holdfast.3 \
	%D%/holdfast.7 \
	%D%/holdfast-inspect.5 \
	%D%/holdfast-messages.7 \
	%D%/holdfast-uring.7
