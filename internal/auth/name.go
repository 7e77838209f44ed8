package auth

import "strings"

// ProjectName returns the name of the project that a token names, empty if there is none: a token from a path may be anything.
func (k *Keys) ProjectName(token string) string {
	p := k.projects[token]
	if p == nil && token != "" {
		p = k.projects[strings.ToLower(token)]
	}
	if p == nil {
		return ""
	}
	return p.Name
}
