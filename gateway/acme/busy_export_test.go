package acme

// Busy holds the lock of what a manager remembers of its names, until free is
// called: handshakes do not need it.
func Busy(m *Manager) (free func()) {
	m.mu.Lock()
	return m.mu.Unlock
}
