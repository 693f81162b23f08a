package desktop

import (
	"fmt"
	"io/fs"
	"syscall"
)

// ownedBy says what is wrong with who may write a plain file.
func ownedBy(info fs.FileInfo, uid int) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("it is no plain file")
	}
	return writtenBy(info, uid)
}

// folderOf says what is wrong with who may write into a folder.
func folderOf(info fs.FileInfo, uid int) error {
	if !info.IsDir() {
		return fmt.Errorf("it is no folder")
	}
	return writtenBy(info, uid)
}

func writtenBy(info fs.FileInfo, uid int) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return fmt.Errorf("nobody says whose it is")
	case int(st.Uid) != uid:
		return fmt.Errorf("it belongs to uid %d", st.Uid)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("its mode is %s", info.Mode())
	}
	return nil
}
