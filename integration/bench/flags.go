package main

import (
	"flag"
	"fmt"
	"time"
)

// options are the benchmark's flags.
type options struct {
	serial, pingSerial int
	burst              int
	rounds, pingRounds int
	clients            int
	crowdRounds        int
	guardRounds        int
	nfRounds           int
	limit              time.Duration
	only, json         string
}

func parseFlags(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.IntVar(&o.serial, "serial", 30, "how many ADDs, then DELs, one after another")
	flags.IntVar(&o.pingSerial, "ping-serial", 10, "the same, each waiting for dnsmasq's ping")
	flags.IntVar(&o.burst, "burst", 200, "how many ADDs, then DELs, at once")
	flags.DurationVar(&o.limit, "serial-limit", time.Minute, "begin no more ADDs one after another when this has passed")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each side runs against dnsmasq --no-ping")
	flags.IntVar(&o.pingRounds, "ping-rounds", 1, "how often each side runs against dnsmasq with its default ping")
	flags.IntVar(&o.clients, "clients", 1000, "how many clients ask for a lease at once, without Pods")
	flags.IntVar(&o.crowdRounds, "crowd-rounds", 3, "how often podland and a bare loop serve that many clients")
	flags.IntVar(&o.guardRounds, "guard-rounds", 5, "how often the cost of the guard is measured, a frame through 1, 250 and 1000 ports")
	flags.IntVar(&o.nfRounds, "nf-rounds", 5, "how often a Pod's throughput to the LAN is measured with bridge-nf 0 and 1")
	flags.StringVar(&o.only, "only", "", "run one `side` only, "+podlan+" or "+reference+", without comparing")
	flags.StringVar(&o.json, "json", "", "also write the results, every sample included, to this `file`")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	return o, o.validate()
}

// size is a flag's value and the least that makes sense.
type size struct {
	flag         string
	value, least int
}

func (o options) validate() error {
	for _, size := range []size{
		{"serial", o.serial, 1},
		{"ping-serial", o.pingSerial, 1},
		{"burst", o.burst, 1},
		{"rounds", o.rounds, 0},
		{"ping-rounds", o.pingRounds, 0},
		{"clients", o.clients, 1},
		{"crowd-rounds", o.crowdRounds, 0},
		{"guard-rounds", o.guardRounds, 0},
		{"nf-rounds", o.nfRounds, 0},
	} {
		if size.value < size.least {
			return fmt.Errorf("-%s %d: at least %d is wanted", size.flag, size.value, size.least)
		}
	}
	if o.only != "" && o.only != podlan && o.only != reference {
		return fmt.Errorf("-only %s: %s or %s is wanted", o.only, podlan, reference)
	}
	return nil
}
