package auth

import "strings"

// find returns the project of a token, nil if there is none. The token comes
// from a path and may be anything.
func (k *Keys) find(token string) *project {
	p := k.projects[token]
	if p == nil && token != "" {
		p = k.projects[strings.ToLower(token)]
	}
	return p
}

// ProjectName returns the name of the project of a token, empty if there is
// none.
func (k *Keys) ProjectName(token string) string {
	if p := k.find(token); p != nil {
		return p.Name
	}
	return ""
}

// ProjectNumbers returns the store's numbers of all projects.
func (k *Keys) ProjectNumbers() []uint32 {
	numbers := make([]uint32, 0, len(k.projects))
	for _, p := range k.projects {
		numbers = append(numbers, p.Number)
	}
	return numbers
}

// ProjectNumber returns the store's number of the project of a token, 0 if
// there is none.
func (k *Keys) ProjectNumber(token string) uint32 {
	if p := k.find(token); p != nil {
		return p.Number
	}
	return 0
}
