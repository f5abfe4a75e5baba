//go:build unix

package pgtest

import (
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const supported = true

// signal asks the first process to end the server.
func (r *run) signal(how shutdown) error {
	if how == atOnce {
		return r.process.Signal(syscall.SIGQUIT)
	}
	return r.process.Signal(syscall.SIGINT)
}

// kill ends all processes at the same moment. The first one is stopped before,
// so that it neither starts new ones nor reaps those that die: their numbers
// cannot belong to anybody else meanwhile.
func (r *run) kill() error {
	if err := r.process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for _, pid := range children(r.process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
	}
	return r.process.Kill()
}

// unprivileged returns the ids to run as when this process is root: those of the
// user postgres, or of nobody in particular.
func unprivileged() (uid, gid uint32) {
	const nobody = 65534
	u, err := user.Lookup("postgres")
	if err != nil {
		return nobody, nobody
	}
	id, errUID := strconv.ParseUint(u.Uid, 10, 32)
	group, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if errUID != nil || errGID != nil {
		return nobody, nobody
	}
	return uint32(id), uint32(group)
}

// demote makes cmd run without privileges if this process has them.
func demote(cmd *exec.Cmd) {
	// A group of its own: Ctrl-C in a terminal is for the caller, who then stops
	// the server in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		uid, gid := unprivileged()
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
}

// disown gives the folders and all in them to the user that the server runs as,
// and lets that user pass through those above them, if root's private temporary
// folders (such as testing.T's) are among them.
func disown(dirs ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid := unprivileged()
	for _, dir := range dirs {
		if err := letPass(filepath.Dir(dir)); err != nil {
			return err
		}
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, int(uid), int(gid))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// letPass adds the permission to pass to dir and those above it, up to the
// system's temporary folder; what is elsewhere is the caller's business.
func letPass(dir string) error {
	top := filepath.Clean(os.TempDir())
	for ; strings.HasPrefix(dir, top+string(filepath.Separator)); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
			return err
		}
	}
	return nil
}
