dist_man_MANS += \
	%D%/holdfast.1 \
	%D%/holdfast.3 \
	%D%/holdfast.7 \
	%D%/holdfast-messages.7
