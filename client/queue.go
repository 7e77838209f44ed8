package client

// queue keeps commands in order until they are settled. At its front are those taken, which are on their way; behind them those
// waiting. It is not safe for concurrent use.
type queue interface {
	// push adds a command at the end.
	push(command []byte) error
	// take returns the waiting commands that fit into r, at least one if any waits. They stay in the queue until settle.
	// Each returned slice belongs to the caller.
	take(r room) ([][]byte, error)
	// settle removes the commands that were taken.
	settle() error
	// drop removes the first waiting command, and reports false if none waits.
	drop() (bool, error)
	// waiting returns how many commands wait, and bytes what all take, those that are on their way included.
	waiting() int
	bytes() int64
	// damaged returns how many commands could not be read back.
	damaged() uint64
	// sync returns when what was pushed is on the disk. Safe for concurrent use with all of the above.
	sync() error
	close() error
}

// memory is a queue that ends with its process.
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
	batch := m.commands[:n:n]
	m.commands = m.commands[n:]
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

func (m *memory) waiting() int    { return len(m.commands) }
func (m *memory) bytes() int64    { return m.size }
func (m *memory) damaged() uint64 { return 0 }
func (m *memory) sync() error     { return nil }
func (m *memory) close() error    { return nil }
