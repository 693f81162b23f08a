package main

import "github.com/spf13/cobra"

func (a *administrator) macCommands() *cobra.Command {
	return group("mac", "Macs: the profile that they are given", "  signet admin mac profile > signet.mobileconfig",
		a.macProfile(), a.macCheck(),
	)
}
