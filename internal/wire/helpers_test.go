package wire

// appendCanonical appends valid JSON in canonical form.
func appendCanonical(dst, raw []byte) []byte {
	var w rewriter
	return w.write(dst, raw)
}
