package gatebench

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// fileLimit returns how many files a process may open.
func fileLimit() (int, bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return int(min(limit.Cur, math.MaxInt32)), true
}

// resident returns the resident memory of a process and all its descendants, in
// bytes. What they share counts for each, so only differences mean something.
func resident(pid int) (int64, error) {
	children, err := families()
	if err != nil {
		return 0, err
	}
	var total int64
	for open := []int{pid}; len(open) > 0; open = open[1:] {
		pages, err := residentPages(open[0])
		if err != nil {
			return 0, err
		}
		total += pages * int64(os.Getpagesize())
		open = append(open, children[open[0]]...)
	}
	return total, nil
}

// families returns the children of each process.
func families() (map[int][]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		var state string
		var parent int
		name := bytes.LastIndexByte(text, ')') // it may have spaces and brackets
		if _, err := fmt.Sscan(string(text[name+1:]), &state, &parent); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		children[parent] = append(children[parent], pid)
	}
	return children, nil
}

func residentPages(pid int) (pages int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var size int64
	_, err = fmt.Sscan(string(text), &size, &pages)
	return pages, err
}
