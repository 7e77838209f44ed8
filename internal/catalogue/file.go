package catalogue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"

	"trackway/internal/durable"
	"trackway/internal/seal"
)

// File is the name of the file in the data directory.
const File = "catalogue.json"

// version is that of the file. A file of another version is learned again.
const version = 1

var errDamaged = errors.New("its checksum is wrong")

// file is the content of the file. Values that few customers have are not in
// it, nor are names that wait for a place.
type file struct {
	Version  int                     `json:"version"`
	Store    string                  `json:"store"`
	Position uint64                  `json:"position"`
	Skipped  uint64                  `json:"skipped"`
	Erasure  uint64                  `json:"erasure"`
	Projects map[uint32]*projectFile `json:"projects"`
}

type projectFile struct {
	project

	Types map[string]*typeFile `json:"types"`
}

type typeFile struct {
	eventType

	Properties map[string]*propertyFile `json:"properties"`
}

type propertyFile struct {
	property

	Examples []example `json:"examples,omitempty"`
}

// example is a value that may be shown.
type example struct {
	Value  json.RawMessage `json:"value"`
	Credit int             `json:"credit"`
}

// save writes the file if something has changed.
func (c *Catalogue) save() error {
	text, err := c.text()
	if text == nil || err != nil {
		return err
	}
	const ownerOnly = 0o600
	if err := durable.Replace(c.path, text, ownerOnly); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.changed = true
		return err
	}
	return nil
}

// text returns the content of the file, or nil if it is on the disk.
func (c *Catalogue) text() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.changed {
		return nil, nil
	}
	c.changed = false
	f := file{version, c.store, c.position, c.skipped, c.erasure, map[uint32]*projectFile{}}
	for number, p := range c.projects {
		types := map[string]*typeFile{}
		for name, t := range p.types.known {
			properties := map[string]*propertyFile{}
			for name, of := range t.properties.known {
				kept := &propertyFile{property: *of}
				for _, v := range of.values.examples() {
					kept.Examples = append(kept.Examples, example{json.RawMessage(v.shown), v.credit})
				}
				properties[name] = kept
			}
			types[name] = &typeFile{*t, properties}
		}
		f.Projects[number] = &projectFile{*p, types}
	}
	text, err := json.Marshal(&f)
	if err != nil {
		return nil, err
	}
	return append(seal.Add(text), '\n'), nil
}

// load reads the file, if there is one.
func (c *Catalogue) load() error {
	text, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var f file
	if !seal.Whole(text) {
		return fmt.Errorf("%s: %w", c.path, errDamaged)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("%s: %w", c.path, err)
	}
	switch {
	case f.Version != version:
		return fmt.Errorf("%s has version %d, and this program reads version %d", c.path, f.Version, version)
	case f.Store != c.store:
		return fmt.Errorf("%s belongs to another store", c.path)
	}
	c.position, c.skipped, c.erasure = f.Position, f.Skipped, f.Erasure
	for number, p := range f.Projects {
		c.projects[number] = c.loaded(p)
	}
	return nil
}

// loaded returns a project as the file has it.
func (c *Catalogue) loaded(from *projectFile) *project {
	p := &from.project
	p.types.known = map[string]*eventType{}
	for name, t := range from.Types {
		kept := &t.eventType
		kept.properties.known = map[string]*property{}
		for name, of := range t.Properties {
			for _, e := range of.Examples {
				of.values = append(of.values, candidate{
					hash: c.hash(e.Value), customers: math.MaxUint64, credit: e.Credit, shown: string(e.Value),
				})
			}
			kept.properties.known[name] = &of.property
		}
		p.types.known[name] = kept
	}
	return p
}
