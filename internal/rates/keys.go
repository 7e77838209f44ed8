package rates

import "time"

// Key names a key of a project.
type Key struct {
	Project uint32
	Name    string
}

// use counts the commands that came by a key.
type use struct{ commands, refused ring }

// The steps of the counts of a key, and the number of keys that are counted.
const (
	keyStep, keySteps = time.Minute, 10
	mostKeys          = 10_000 // each takes about 300 bytes
)

// Sent counts commands that came by a key. Keys beyond mostKeys are not
// counted. REQUIRES: the key is one of the configuration.
func (m *Meter) Sent(now time.Time, key Key, accepted, refused int) {
	u := m.use(key)
	if u == nil {
		u = m.newUse(now, key)
	}
	if u == nil || accepted+refused == 0 {
		return
	}
	at := m.at(now)
	u.commands.add(at, uint64(accepted+refused))
	if refused > 0 {
		u.refused.add(at, uint64(refused))
	}
}

// ByKey returns how many commands came by a key in this minute and the nine
// before it, and how many of them were refused.
func (m *Meter) ByKey(now time.Time, key Key) (commands, refused uint64) {
	u := m.use(key)
	if u == nil {
		return 0, 0
	}
	at := m.at(now)
	return u.commands.sum(at, keySteps), u.refused.sum(at, keySteps)
}

func (m *Meter) use(key Key) *use {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.keys[key]
}

// newUse begins to count a key. If there is no room, it forgets the keys by
// which nothing came, at most once a minute: some may have left the
// configuration.
func (m *Meter) newUse(now time.Time, key Key) *use {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.keys[key]; u != nil {
		return u
	}
	if at := m.at(now); len(m.keys) >= mostKeys && at-m.swept >= keyStep {
		m.swept = at
		for other, u := range m.keys {
			if u.commands.sum(at, keySteps) == 0 {
				delete(m.keys, other)
			}
		}
	}
	if len(m.keys) >= mostKeys {
		return nil
	}
	u := &use{newRing(keyStep, keySteps), newRing(keyStep, keySteps)}
	m.keys[key] = u
	return u
}
