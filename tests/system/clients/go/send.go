// Sends a file of records with fluent-logger-golang, the library inside Docker's `fluentd` log driver.
// Arguments: the file, the address (a path, or a TCP port), the tag, "ack" or "noack", "sync" or "async" (what Docker uses).
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/fluent/fluent-logger-golang/fluent"
)

type entry struct {
	Sec    int64             `json:"sec"`
	Nsec   int64             `json:"nsec"`
	Record map[string]string `json:"record"`
}

// The driver's own default: so many messages may wait before the newest is dropped.
const dockerBufferLimit = 1024 * 1024

func config(address, acks, writing string) fluent.Config {
	config := fluent.Config{
		SubSecondPrecision: true,
		RequestAck:         acks == "ack",
		Async:              writing == "async",
		BufferLimit:        dockerBufferLimit,
	}
	if port, err := strconv.Atoi(address); err == nil {
		config.FluentHost, config.FluentPort = "127.0.0.1", port
	} else {
		config.FluentNetwork, config.FluentSocketPath = "unix", address
	}
	return config
}

func main() {
	file, address, tag, acks, writing := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	records, err := os.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	logger, err := fluent.New(config(address, acks, writing))
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(records)
	lines.Buffer(nil, 1024*1024)
	for lines.Scan() {
		var next entry
		if err := json.Unmarshal(lines.Bytes(), &next); err != nil {
			log.Fatal(err)
		}
		if err := logger.PostWithTime(tag, time.Unix(next.Sec, next.Nsec), next.Record); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	if err := logger.Close(); err != nil {
		log.Fatal(err)
	}
}
