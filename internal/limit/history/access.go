package history

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"

	"trackway"
)

// Access is what decides, besides the limits, for whom a call counts. The zero
// value is not recorded.
type Access struct {
	Trusted  []netip.Prefix // the proxies whose word counts
	Header   string         // in which they give it
	Projects []trackway.Project
}

// Proxies is whose word about addresses counts, as it is kept.
type Proxies struct {
	Trusted []string `json:"trusted_proxies"` // sorted: their order means nothing
	Header  string   `json:"client_ip_header"`
}

// Key is a key as it is kept, all but its name: nothing that lets anybody in.
type Key struct {
	Kind        trackway.KeyKind `json:"kind"`
	Fingerprint string           `json:"fingerprint"`
	Permissions []string         `json:"permissions,omitempty"` // sorted; none: all of its kind
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

// fingerprint tells a key from the one that it was before. It is so short that no guess at a secret can be checked with it: one in
// 65536 has the same.
func fingerprint(k *trackway.Key) string {
	const enough = 2 // bytes
	sum := sha256.Sum256(append(k.Secret[:], k.ID...))
	return hex.EncodeToString(sum[:enough])
}
