//! The presets: what is sent, how the router is configured, what goes wrong.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::chains;
use crate::error::{Error, Result};

/// One line of the comparison.
#[derive(Debug)]
pub(super) struct Scenario {
    /// The name on the command line.
    pub(super) name: &'static str,
    /// What it stands for, in a few words.
    pub(super) about: &'static str,
    unix: bool,
    mode: &'static str,
    text: &'static str,
    size: u64,
    /// Write each record alone, at this rate.
    each_at: Option<u64>,
    output: Output,
    /// Sections of the configuration.
    filters: &'static str,
    /// `compression` of the output.
    compression: Option<&'static str>,
    /// Options of the sink.
    pub(super) faults: &'static [&'static str],
    /// Fewer records than asked for, where waiting for repeats takes long.
    most_records: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    LogsLogKey,
    LogsRecord,
    Firehose,
    FirehoseJoined,
}

/// Where the router shall listen.
#[derive(Debug, Clone)]
pub(super) enum Input {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

const BASE: Scenario = Scenario {
    name: "message-logkey",
    about: "message mode over unix, log_key log, CloudWatch",
    unix: true,
    mode: "message",
    text: "access",
    size: 1024,
    each_at: None,
    output: Output::LogsLogKey,
    filters: "",
    compression: None,
    faults: &[],
    most_records: u64::MAX,
};
const FILTERED: Scenario = Scenario {
    output: Output::LogsRecord,
    ..BASE
};
const FAULTY: Scenario = Scenario {
    most_records: 200_000,
    ..BASE
};

/// How the names of presets begin that are about filters alone.
const FILTER: &str = "filter-";

/// Every preset; the first eight are `all`.
const SCENARIOS: &[Scenario] = &[
    BASE,
    Scenario {
        name: "message-record",
        about: "message mode over unix, whole record, CloudWatch",
        output: Output::LogsRecord,
        ..BASE
    },
    Scenario {
        name: "small",
        about: "120-byte lines, whole record",
        size: 120,
        output: Output::LogsRecord,
        ..BASE
    },
    Scenario {
        name: "packed",
        about: "packed mode over TCP, whole record",
        unix: false,
        mode: "packed",
        output: Output::LogsRecord,
        ..BASE
    },
    Scenario {
        name: "gzip",
        about: "gzip packed mode over TCP, whole record; per GB on the wire",
        unix: false,
        mode: "gzip",
        output: Output::LogsRecord,
        ..BASE
    },
    Scenario {
        name: "firehose",
        about: "whole record to Firehose",
        output: Output::Firehose,
        ..BASE
    },
    Scenario {
        name: "ecs-greps",
        about: "ECS metadata, one include and one exclude grep, CloudWatch",
        output: Output::LogsRecord,
        filters: chains::GREPS,
        ..BASE
    },
    Scenario {
        name: "each",
        about: "one write per record, 50 000 records/s",
        each_at: Some(50_000),
        ..BASE
    },
    Scenario {
        name: "filter-json",
        about: "JSON parser and ECS metadata, 1 KB JSON lines, Firehose",
        text: "json",
        output: Output::Firehose,
        filters: chains::JSON,
        ..BASE
    },
    Scenario {
        name: "filter-nest",
        about: "nest and modify, CloudWatch",
        filters: chains::NEST,
        ..FILTERED
    },
    Scenario {
        name: "filter-regex",
        about: "regex parser on access logs, CloudWatch",
        filters: chains::REGEX,
        ..FILTERED
    },
    Scenario {
        name: "filter-lua",
        about: "lua adds a field, CloudWatch",
        filters: chains::LUA,
        ..FILTERED
    },
    Scenario {
        name: "filter-java",
        about: "multiline java, 120-byte lines, ten to a trace, CloudWatch",
        text: "java",
        size: 120,
        filters: chains::JAVA,
        ..FILTERED
    },
    Scenario {
        name: "filter-rewrite",
        about: "rewrite_tag on half of the records, CloudWatch",
        filters: chains::REWRITE,
        ..FILTERED
    },
    Scenario {
        name: "logs-gzip",
        about: "log_key log, request bodies in gzip, CloudWatch",
        compression: Some("gzip"),
        ..BASE
    },
    Scenario {
        name: "logs-record-gzip",
        about: "whole record, request bodies in gzip, CloudWatch",
        output: Output::LogsRecord,
        compression: Some("gzip"),
        ..BASE
    },
    Scenario {
        name: "firehose-gzip",
        about: "whole record, each in gzip, Firehose",
        output: Output::Firehose,
        compression: Some("gzip"),
        ..BASE
    },
    Scenario {
        name: "firehose-joined",
        about: "whole record, lines joined, Firehose",
        output: Output::FirehoseJoined,
        ..BASE
    },
    Scenario {
        name: "firehose-joined-gzip",
        about: "whole record, lines joined, in gzip, Firehose",
        output: Output::FirehoseJoined,
        compression: Some("gzip"),
        ..BASE
    },
    Scenario {
        name: "throttle",
        about: "30 % of requests throttled",
        faults: &["--throttle", "30%"],
        ..FAULTY
    },
    Scenario {
        name: "errors",
        about: "10 % of requests answered 500",
        faults: &["--fail", "10%"],
        ..FAULTY
    },
    Scenario {
        name: "partial",
        about: "20 % of Firehose records fail",
        output: Output::Firehose,
        faults: &["--fail-partly", "20%"],
        ..FAULTY
    },
    Scenario {
        name: "reset",
        about: "5 % of requests cut, half after storing",
        faults: &["--reset", "5%"],
        ..FAULTY
    },
    Scenario {
        name: "outage",
        about: "503 for 10 s",
        faults: &["--outage", "100ms,10s"],
        ..FAULTY
    },
];

/// Finds a preset, or those without faults for `all`, those about filters for `filters`, those with faults for `faults`, and for
/// `compression` what compresses beside the same without.
pub(super) fn find(name: &str) -> Result<Vec<&'static Scenario>> {
    let wanted = |scenario: &&Scenario| match name {
        "all" => {
            scenario.faults.is_empty()
                && !scenario.is_of_compression()
                && !scenario.name.starts_with(FILTER)
        }
        "filters" => !scenario.filters.is_empty(),
        "compression" => scenario.faults.is_empty() && scenario.is_compared(),
        "faults" => !scenario.faults.is_empty(),
        _ => scenario.name == name,
    };
    let found: Vec<_> = SCENARIOS.iter().filter(wanted).collect();
    if found.is_empty() {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        return Err(Error::Usage(format!(
            "there is no scenario {name:?}; there are all, filters, compression, faults, {}",
            names.join(", ")
        )));
    }
    Ok(found)
}

/// One line per preset, for the help.
pub(super) fn describe() -> String {
    SCENARIOS
        .iter()
        .map(|scenario| format!("  {:<15} {}\n", scenario.name, scenario.about))
        .collect::<Vec<_>>()
        .concat()
}

impl Scenario {
    /// Whether the floor is worth measuring: with faults, time goes into waiting.
    pub(super) fn has_floor(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether it is there for what compression costs alone.
    fn is_of_compression(&self) -> bool {
        self.compression.is_some() || self.output == Output::FirehoseJoined
    }

    /// Whether it belongs into a table of what compression costs.
    fn is_compared(&self) -> bool {
        let same = ["message-logkey", "message-record", "firehose"];
        self.is_of_compression() || same.contains(&self.name)
    }

    /// Where the router listens, given a folder for a socket and a free port.
    pub(super) fn input(&self, folder: &Path, tcp: SocketAddr) -> Input {
        if self.unix {
            Input::Unix(folder.join("in.sock"))
        } else {
            Input::Tcp(tcp)
        }
    }

    /// The options of `load`.
    pub(super) fn load_options(&self, input: &Input, records: u64) -> Vec<String> {
        let mut options = input.option();
        let mut add = |name: &str, value: String| options.extend([name.to_owned(), value]);
        add("--mode", self.mode.to_owned());
        add("--text", self.text.to_owned());
        add("--size", self.size.to_string());
        add("--records", records.min(self.most_records).to_string());
        if let Some(rate) = self.each_at {
            add("--write", "each".to_owned());
            add("--rate", rate.to_string());
        }
        // Docker's driver connects again as well.
        options.push("--reconnect".to_owned());
        options
    }

    /// The router's configuration in Fluent Bit's classic format; `parsers` is a file with [`chains::PARSERS`].
    pub(super) fn config(
        &self,
        input: &Input,
        parsers: &Path,
        sink: SocketAddr,
        ca_file: &Path,
    ) -> String {
        let mut text = String::from("[SERVICE]\n    Flush 1\n    Grace 30\n    Log_Level warn\n");
        // Writing to a string cannot fail.
        if self.filters.contains("Parser ") {
            let _ = writeln!(text, "    Parsers_File {}", parsers.display());
        }
        text.push_str("\n[INPUT]\n    Name forward\n");
        let _ = match input {
            Input::Unix(path) => writeln!(text, "    unix_path {}", path.display()),
            Input::Tcp(address) => writeln!(
                text,
                "    Listen {}\n    Port {}",
                address.ip(),
                address.port()
            ),
        };
        text.push_str("    Mem_Buf_Limit 25MB\n\n");
        text.push_str(self.filters);
        text.push_str(self.output.config());
        if let Some(compression) = self.compression {
            let _ = writeln!(text, "    compression {compression}");
        }
        let _ = writeln!(
            text,
            "    endpoint {}\n    port {}\n    tls.ca_file {}",
            sink.ip(),
            sink.port(),
            ca_file.display()
        );
        text
    }
}

impl Output {
    fn config(self) -> &'static str {
        match self {
            Self::LogsLogKey => {
                "[OUTPUT]\n    Name cloudwatch_logs\n    Match *\n    region us-east-1\n    log_group_name bench\n    \
                 log_stream_prefix bench-\n    auto_create_group on\n    log_key log\n"
            }
            Self::LogsRecord => {
                "[OUTPUT]\n    Name cloudwatch_logs\n    Match *\n    region us-east-1\n    log_group_name bench\n    \
                 log_stream_prefix bench-\n    auto_create_group on\n"
            }
            Self::Firehose => {
                "[OUTPUT]\n    Name kinesis_firehose\n    Match *\n    region us-east-1\n    delivery_stream bench\n"
            }
            Self::FirehoseJoined => {
                "[OUTPUT]\n    Name kinesis_firehose\n    Match *\n    region us-east-1\n    delivery_stream bench\n    \
                 simple_aggregation on\n"
            }
        }
    }
}

impl Input {
    /// The option that `load` and `floor` take.
    pub(super) fn option(&self) -> Vec<String> {
        match self {
            Self::Unix(path) => vec!["--unix".to_owned(), path.display().to_string()],
            Self::Tcp(address) => vec!["--tcp".to_owned(), address.to_string()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> String {
        let address = "127.0.0.1:5000".parse().unwrap();
        let scenario = find(name).unwrap()[0];
        scenario.config(
            &scenario.input(Path::new("/tmp/x"), address),
            Path::new("/tmp/parsers.conf"),
            address,
            Path::new("/tmp/ca.pem"),
        )
    }

    #[test]
    fn a_configuration_is_what_fluent_bit_reads() {
        let expected = "\
[SERVICE]
    Flush 1
    Grace 30
    Log_Level warn

[INPUT]
    Name forward
    unix_path /tmp/x/in.sock
    Mem_Buf_Limit 25MB

[OUTPUT]
    Name cloudwatch_logs
    Match *
    region us-east-1
    log_group_name bench
    log_stream_prefix bench-
    auto_create_group on
    log_key log
    endpoint 127.0.0.1
    port 5000
    tls.ca_file /tmp/ca.pem
";
        assert_eq!(config("message-logkey"), expected);
        assert!(config("packed").contains("    Listen 127.0.0.1\n    Port 5000\n"));
        assert!(config("firehose").contains("Name kinesis_firehose\n"));
        assert_eq!(config("ecs-greps").matches("[FILTER]").count(), 3);
        assert!(config("filter-json").contains("    Parsers_File /tmp/parsers.conf\n"));
    }

    #[test]
    fn compression_is_a_setting_of_the_output() {
        let with = config("logs-gzip");
        assert_eq!(
            with.replace("    compression gzip\n", ""),
            config("message-logkey")
        );
        assert!(with.contains("    compression gzip\n"));
    }

    #[test]
    fn all_means_the_eight_without_faults() {
        assert_eq!(find("all").unwrap().len(), 8);
        assert_eq!(find("faults").unwrap().len(), 5);
        assert_eq!(find("filters").unwrap().len(), 7);
        assert_eq!(find("compression").unwrap().len(), 8);
        assert!(find("nope").is_err());
    }

    #[test]
    fn fault_presets_send_fewer_records() {
        let input = Input::Unix(PathBuf::from("/x"));
        let options = find("throttle").unwrap()[0]
            .load_options(&input, 1_000_000)
            .join(" ");
        assert!(options.contains("--records 200000"), "{options}");
    }
}
