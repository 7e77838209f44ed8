package auth

import (
	"strings"

	"trackway"
)

// find returns the project of a token, or nil. The token comes from a path and
// may be any text.
func (k *Keys) find(token string) *project {
	p := k.projects[token]
	if p == nil && token != "" {
		p = k.projects[strings.ToLower(token)]
	}
	return p
}

// Project returns the project of a token, or nil.
func (k *Keys) Project(token string) *trackway.Project {
	if p := k.find(token); p != nil {
		return &p.Project
	}
	return nil
}

// ProjectName returns the name of a token's project, or an empty text if there
// is no such project.
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

// ProjectNumber returns the store's number of a token's project, or 0 if there
// is no such project.
func (k *Keys) ProjectNumber(token string) uint32 {
	if p := k.find(token); p != nil {
		return p.Number
	}
	return 0
}
