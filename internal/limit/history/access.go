package history

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"

	"trackway"
)

// Access is the configuration that, besides the limits, decides which caller a
// call counts for. The zero value is not recorded.
type Access struct {
	Trusted  []netip.Prefix // the trusted proxies
	Header   string         // that carries the address
	Projects []trackway.Project
}

// Proxies is the recorded form of the trusted proxies.
type Proxies struct {
	Trusted []string `json:"trusted_proxies"` // sorted: their order has no meaning
	Header  string   `json:"client_ip_header"`
}

// Key is the recorded form of a key, without its name. It holds nothing that
// grants access.
type Key struct {
	Kind        trackway.KeyKind `json:"kind"`
	Fingerprint string           `json:"fingerprint"`
	Permissions []string         `json:"permissions,omitempty"` // sorted; empty: all of its kind
	Until       *time.Time       `json:"previous_until,omitempty"`
}

func (a *Access) settings() []setting {
	if a.Header == "" {
		return nil
	}
	proxies := Proxies{Trusted: []string{}, Header: a.Header}
	for _, p := range a.Trusted {
		proxies.Trusted = append(proxies.Trusted, p.String())
	}
	slices.Sort(proxies.Trusted)
	all := []setting{{item{OfProxies, "", ""}, mustEncode(proxies)}}
	for i := range a.Projects {
		p := &a.Projects[i]
		for j := range p.Keys {
			all = append(all, setting{item{OfKey, "", p.Keys[j].Name + " of " + p.Name}, mustEncode(keyOf(&p.Keys[j]))})
		}
	}
	return all
}

func keyOf(k *trackway.Key) Key {
	out := Key{Kind: k.Kind, Fingerprint: fingerprint(k)}
	for permission, names := range k.Permissions {
		if len(names) == 0 {
			out.Permissions = append(out.Permissions, string(permission))
		}
		for _, name := range names {
			out.Permissions = append(out.Permissions, string(permission)+":"+name)
		}
	}
	slices.Sort(out.Permissions)
	if until := k.PreviousUntil.UTC(); !k.PreviousUntil.IsZero() {
		out.Until = &until
	}
	return out
}

// fingerprint tells a key from its predecessor. It is too short to check a
// guess at a secret: one secret in 65536 has the same fingerprint.
func fingerprint(k *trackway.Key) string {
	const enough = 2 // bytes
	sum := sha256.Sum256(append(k.Secret[:], k.ID...))
	return hex.EncodeToString(sum[:enough])
}
