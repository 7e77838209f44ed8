package config

import "trackway/internal/contract"

// contracts checks and translates the contracts of all projects.
func (d *doc) contracts() map[string][]contract.Contract {
	var all map[string][]contract.Contract
	for i := range d.file.Projects {
		p := &d.file.Projects[i]
		if found := p.Contracts.Check(d.Doc, func(at *string) (string, error) {
			text, _, err := d.secretFile(d.absolute(at, *at))
			return text, err
		}); found != nil {
			if all == nil {
				all = make(map[string][]contract.Contract)
			}
			all[p.Token] = found
		}
	}
	return all
}
