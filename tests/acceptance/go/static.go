// A static Go program that makes its system calls itself, without any libc.
//
//	go-static tree DIR       print a digest of every regular file below DIR, read by 16 goroutines
//	go-static hammer DIR N   open and stat the files below DIR N times while the collector preempts goroutines by signals
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"sync"
)

func files(top string) []string {
	var names []string
	err := filepath.Walk(top, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			names = append(names, path)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		fmt.Fprintln(os.Stderr, "walk:", err, len(names))
		os.Exit(1)
	}
	return names
}

func tree(top string) {
	names := files(top)
	lines := make([]string, len(names))
	work := make(chan int)
	var group sync.WaitGroup
	for i := 0; i < 16; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for index := range work {
				data, err := os.ReadFile(names[index])
				relative, _ := filepath.Rel(top, names[index])
				lines[index] = fmt.Sprintf("%x %q %v", sha256.Sum256(data), relative, err)
			}
		}()
	}
	for index := range names {
		work <- index
	}
	close(work)
	group.Wait()
	sort.Strings(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
}

func hammer(top string, count int) {
	names := files(top)
	stop := make(chan bool)
	go func() { // keeps the collector, and so SIGURG, busy
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	var group sync.WaitGroup
	var mutex sync.Mutex
	failures := 0
	for worker := 0; worker < 8; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			for i := worker; i < count; i += 8 {
				name := names[i%len(names)]
				file, err := os.Open(name)
				if err == nil {
					_, err = file.Stat()
					file.Close()
				}
				if err != nil {
					mutex.Lock()
					failures++
					fmt.Println(err)
					mutex.Unlock()
				}
			}
		}(worker)
	}
	group.Wait()
	close(stop)
	fmt.Println(count, "opens,", failures, "failures")
	if failures != 0 {
		os.Exit(1)
	}
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "tree":
		tree(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "hammer":
		count, err := strconv.Atoi(os.Args[3])
		if err != nil {
			os.Exit(2)
		}
		hammer(os.Args[2], count)
	default:
		fmt.Fprintln(os.Stderr, "usage: go-static tree DIR | hammer DIR N")
		os.Exit(2)
	}
}
