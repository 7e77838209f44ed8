package client

import "slices"

// queue keeps commands in order until they are settled. The taken commands,
// which are on their way, are at its front; the waiting ones follow. It is not
// safe for concurrent use.
type queue interface {
	// push adds a command at the end.
	push(command []byte) error
	// take returns the waiting commands that fit into r, at least one if any
	// wait. They stay in the queue until settle. The caller owns each returned
	// slice.
	take(r room) ([][]byte, error)
	// settle removes the commands that were taken.
	settle() error
	// drop removes the first waiting command. It reports false if no command
	// waits.
	drop() (bool, error)
	state() state
	close() error
}

// state describes the content of a queue.
type state struct {
	waiting int    // commands
	bytes   int64  // of all commands, including those on their way
	damaged uint64 // commands that could not be read back
}

// memory is a queue that is lost when the process ends.
type memory struct {
	commands [][]byte // waiting
	size     int64
	taken    int64 // bytes
}

func (m *memory) push(command []byte) error {
	m.commands = append(m.commands, command)
	m.size += int64(len(command))
	return nil
}

func (m *memory) take(r room) ([][]byte, error) {
	n := 0
	for n < len(m.commands) && r.take(len(m.commands[n]), n == 0) {
		m.taken += int64(len(m.commands[n]))
		n++
	}
	batch := slices.Clone(m.commands[:n])
	clear(m.commands[:n]) // releases the memory of delivered commands
	if m.commands = m.commands[n:]; len(m.commands) == 0 {
		m.commands = nil
	}
	return batch, nil
}

func (m *memory) settle() error {
	m.size -= m.taken
	m.taken = 0
	return nil
}

func (m *memory) drop() (bool, error) {
	if len(m.commands) == 0 {
		return false, nil
	}
	m.size -= int64(len(m.commands[0]))
	m.commands[0] = nil
	m.commands = m.commands[1:]
	return true, nil
}

func (m *memory) state() state { return state{len(m.commands), m.size, 0} }
func (m *memory) close() error { return nil }
