//go:build !unix

package main

const noSignals = skipError("only Unix can stop a process and let it go on")

func pause(int) error   { return noSignals }
func proceed(int) error { return noSignals }
