package acme

import "time"

// Hasten makes a manager look at certificates, and wait for other processes, as
// often and as long as given: its tests have seconds where it has weeks.
func Hasten(m *Manager, every time.Duration) { m.every, m.writing = every, every }
