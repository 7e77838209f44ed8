package object

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"trackway/internal/seal"
)

// manifest lists the objects of a part of a table.
type manifest struct {
	Table   string  `json:"table"`
	Part    string  `json:"part"`
	Objects []entry `json:"objects"` // by First; their ranges do not overlap
	Mark    string  `json:"mark"`    // differs each time: see Options.Late

	tag string
}

// entry describes an object.
type entry struct {
	Name   string `json:"name"`
	First  uint64 `json:"first"` // the lowest key, or what it was before rows were removed
	Last   uint64 `json:"last"`  // and the highest
	Rows   int    `json:"rows"`  // 0: the object is empty, and only reserves its name
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Weight int    `json:"weight"` // of the rows, without compression
	Room   uint64 `json:"room"`   // the highest key that may be added
}

func manifestName(table, part string) string { return "manifests/" + table + "/" + part + ".json" }

// manifestOf returns a manifest, from memory or from the bucket. It is empty if
// the part has no manifest yet. Changes take effect with saveManifest.
func (s *Sink) manifestOf(ctx context.Context, t *table, part string) (*manifest, error) {
	name := manifestName(t.name, part)
	if m, ok := s.manifests[name]; ok {
		return m, nil
	}
	m := &manifest{Table: t.name, Part: part}
	data, tag, err := s.bucket.Get(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case !seal.Whole(data) || json.Unmarshal(data, m) != nil || m.Table != t.name || m.Part != part:
		return nil, final("%s is damaged: its checksum does not match", name)
	default:
		m.tag = tag
	}
	if len(s.manifests) >= keptManifests {
		clear(s.manifests)
	}
	s.manifests[name] = m
	return m, nil
}

// keptManifests is how many manifests stay in memory. One with the objects of a
// day of 100 GB takes about 2 MB.
const keptManifests = 8

func (s *Sink) saveManifest(ctx context.Context, m *manifest) error {
	name := manifestName(m.Table, m.Part)
	m.Mark = newMark()
	data, err := sealed(m)
	if err != nil {
		return err
	}
	var tag string
	if m.tag == "" {
		tag, err = s.bucket.Create(ctx, name, data)
	} else {
		tag, err = s.bucket.Replace(ctx, name, m.tag, data)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	m.tag = tag
	return nil
}

// find returns the entry of an object, or nil.
func (m *manifest) find(name string) *entry {
	for i := range m.Objects {
		if m.Objects[i].Name == name {
			return &m.Objects[i]
		}
	}
	return nil
}

// set adds an entry, or replaces the one of the same name.
func (m *manifest) set(e entry) {
	m.remove(e.Name)
	i, _ := slices.BinarySearchFunc(m.Objects, e.First, func(o entry, first uint64) int { return cmp.Compare(o.First, first) })
	m.Objects = slices.Insert(m.Objects, i, e)
}

func (m *manifest) remove(name string) {
	m.Objects = slices.DeleteFunc(m.Objects, func(e entry) bool { return e.Name == name })
}

// holding returns the object that would have the row with a key, or nil.
func (m *manifest) holding(key uint64) *entry {
	for i := range m.Objects {
		if e := &m.Objects[i]; e.First <= key && key <= e.Last && e.Rows > 0 {
			return e
		}
	}
	return nil
}

// parts lists the parts of a table that have a manifest.
func (s *Sink) parts(ctx context.Context, t *table) ([]string, error) {
	folder := "manifests/" + t.name + "/"
	found := map[string]bool{}
	err := s.bucket.List(ctx, folder, func(name string) bool {
		if part, ok := strings.CutSuffix(strings.TrimPrefix(name, folder), ".json"); ok {
			found[part] = true
		}
		return true
	})
	return slices.Sorted(maps.Keys(found)), err
}
