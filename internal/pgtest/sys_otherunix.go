//go:build unix && !linux

package pgtest

import (
	"os/exec"
	"strconv"
	"strings"
)

// follow does nothing: there is no such request outside Linux.
func follow(*exec.Cmd) {}

// children returns the processes started by pid, as ps knows them.
func children(pid int) []int {
	table, _ := exec.Command("ps", "-A", "-o", "ppid=", "-o", "pid=").Output()
	var pids []int
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[0] != strconv.Itoa(pid) {
			continue
		}
		if child, err := strconv.Atoi(fields[1]); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}
