//! The filters of the presets, as Fluent Bit's classic format has them.

/// Three pairs of metadata, and two greps that keep everything.
pub(super) const GREPS: &str = "\
[FILTER]
    Name record_modifier
    Match *
    Record ecs_cluster bench
    Record ecs_task_arn arn:aws:ecs:us-east-1:123456789012:task/bench/5d1c0f6b7a2e4c3d9b8a7f6e5d4c3b2a
    Record ecs_task_definition app:1

[FILTER]
    Name grep
    Match *
    Regex log HTTP/1\\.1

[FILTER]
    Name grep
    Match *
    Exclude log ELB-HealthChecker/[0-9]

";

/// What FireLens and `parse-json.conf` of AWS's image make together.
pub(super) const JSON: &str = "\
[FILTER]
    Name parser
    Match *
    Key_Name log
    Parser bench_json
    Reserve_Data On

[FILTER]
    Name record_modifier
    Match *
    Record ecs_cluster bench
    Record ecs_task_arn arn:aws:ecs:us-east-1:123456789012:task/bench/5d1c0f6b7a2e4c3d9b8a7f6e5d4c3b2a
    Record ecs_task_definition app:1

";

/// A map of what Docker's driver adds, and names of our own.
pub(super) const NEST: &str = "\
[FILTER]
    Name nest
    Match *
    Operation nest
    Wildcard container_*
    Nest_under docker
    Remove_prefix container_

[FILTER]
    Name modify
    Match *
    Rename source stream
    Add env prod
    Remove absent

";

/// The fields of an access log.
pub(super) const REGEX: &str = "\
[FILTER]
    Name parser
    Match *
    Key_Name log
    Parser bench_access
    Reserve_Data On

";

/// One field more.
pub(super) const LUA: &str = "\
[FILTER]
    Name lua
    Match *
    call add
    code function add(tag, ts, record) record.env = 'prod' return 2, ts, record end

";

/// Traces of ten lines each.
pub(super) const JAVA: &str = "\
[FILTER]
    Name multiline
    Match *
    multiline.key_content log
    multiline.parser java

";

/// Users with an even number go under a tag of their own.
pub(super) const REWRITE: &str = "\
[FILTER]
    Name rewrite_tag
    Match app*
    Rule $log user[0-9]*[02468]\\s moved.$TAG false

";

/// The parsers that they name.
pub(super) const PARSERS: &str = "\
[PARSER]
    Name bench_json
    Format json

[PARSER]
    Name bench_access
    Format regex
    Regex ^(?<host>[^ ]*) (?<ident>[^ ]*) (?<user>[^ ]*) \"(?<method>\\S+) (?<path>[^ ]*) (?<protocol>[^\"]*)\" (?<code>[^ ]*) (?<size>[^ ]*) \"(?<referer>[^\"]*)\" \"(?<agent>[^\"]*)\"(?<rest>.*)$
    Types code:integer size:integer
";
