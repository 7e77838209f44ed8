package clientip

import (
	"strings"
	"testing"
)

// FuzzProxyHeader: no header makes the reader crash, read without end, or
// return an address that is not in the usual form.
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{
		"", "PROXY UNKNOWN\r\n", "PROXY TCP4 198.51.100.1 192.0.2.1 4711 443\r\n", version2(0x21, 0x11, tcp4), version2(0x20, 0, ""), version2(0x21, 0x21, mapped),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		in := strings.NewReader(header + strings.Repeat("\x00", maxVersion2))
		source, err := readProxyHeader(in)
		if err != nil && source.IsValid() {
			t.Fatalf("an address with an error: %v, %v", source, err)
		}
		if a := source.Addr(); a.Is4In6() || a.Zone() != "" {
			t.Fatalf("%v is not in the form that is promised", a)
		}
		if read := in.Size() - int64(in.Len()); read > int64(len(proxySignature)+4+maxVersion2) {
			t.Fatalf("%d bytes were read", read)
		}
	})
}
