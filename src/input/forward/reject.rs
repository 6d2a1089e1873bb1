//! Why a frame is refused.

/// The longest tag.
pub(super) const TAG_MAX: usize = 4096;
/// The longest chunk id.
pub(super) const CHUNK_MAX: usize = 1024;

/// Why a frame is refused: its connection is closed and nothing of it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// The stream holds something that is no msgpack.
    #[error("the stream is no msgpack")]
    NotMsgpack,
    /// The stream began as JSON and is none.
    #[error("the stream is no JSON, and began as if it were")]
    NotJson,
    /// A value that is no array where a frame should start.
    #[error("not a forward message; is something else speaking to this port?")]
    NotAFrame,
    /// Nesting beyond the limit.
    #[error("values are nested too deep")]
    DepthLimit,
    /// The frame is longer than `Buffer_Max_Size`.
    #[error(
        "the message is longer than Buffer_Max_Size; raise it, or lower the sender's chunk size"
    )]
    FrameTooLarge,
    /// Too few elements.
    #[error("the message has too few elements")]
    Arity,
    /// The tag is no string, or longer than 4096 bytes.
    #[error("the tag is no string, or longer than {TAG_MAX} bytes")]
    Tag,
    /// The second element selects no mode.
    #[error("the second element is neither a time nor entries")]
    Mode,
    /// The peer sends a handshake, and none is configured.
    #[error("the peer expects a shared_key handshake")]
    Handshake,
    /// What came is no PING, and a handshake is configured.
    #[error("the peer sends no PING; does it have the shared_key?")]
    NoPing,
    /// The peer does not know the shared key, or no user and password.
    #[error("the peer's shared_key, user or password is not ours")]
    Unauthorized,
    /// The handshake took too long.
    #[error("the peer did not finish the handshake in time")]
    HandshakeTimeout,
    /// The time is no time.
    #[error("the time is no time")]
    Time,
    /// The record is no map.
    #[error("the record is no map")]
    Record,
    /// The option is no map, or too large.
    #[error("the option is no map")]
    Option,
    /// Metrics or traces, says the option, and the message holds something else.
    #[error("the message holds neither metrics nor traces, though its fluent_signal says so")]
    Signal,
    /// The chunk id is no string, or longer than 1024 bytes.
    #[error("the chunk id is no string, or longer than {CHUNK_MAX} bytes")]
    Chunk,
    /// `compressed` names something unknown.
    #[error("`compressed` names an unknown method")]
    Compression,
    /// The payload does not decompress, its checksum is wrong, or it asks for a window above 8 MiB.
    #[error("the compressed payload is damaged, or asks for a zstd window above 8 MiB")]
    Damaged,
    /// The payload decompresses to more than `Buffer_Max_Size`.
    #[error("the payload decompresses to more than Buffer_Max_Size")]
    InflatedTooLarge,
    /// Not one entry of the frame is an event.
    #[error("no entry of the message is an event")]
    NoEvent,
    /// The peer fell silent in the middle of a message while others waited for the memory it holds.
    #[error("the peer fell silent in the middle of a message while others waited for memory")]
    Stalled,
    /// The message comes at less than 1 KiB a second, for more than a minute.
    #[error("the peer sends a message more slowly than anybody does")]
    Slow,
    /// Nothing came for as long as `net.io_timeout`.
    #[error("the peer was silent for net.io_timeout")]
    Silent,
}

impl Reject {
    /// The label of the counter.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotMsgpack => "not_msgpack",
            Self::NotJson => "not_json",
            Self::NotAFrame => "not_a_frame",
            Self::DepthLimit => "depth_limit",
            Self::FrameTooLarge => "frame_too_large",
            Self::Arity => "arity",
            Self::Tag => "tag",
            Self::Mode => "mode",
            Self::Handshake => "handshake",
            Self::NoPing => "no_ping",
            Self::Unauthorized => "unauthorized",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Time => "time",
            Self::Record => "record",
            Self::Option => "option",
            Self::Signal => "signal",
            Self::Chunk => "chunk",
            Self::Compression => "compression",
            Self::Damaged => "damaged",
            Self::InflatedTooLarge => "inflated_too_large",
            Self::NoEvent => "no_event",
            Self::Stalled => "stalled",
            Self::Slow => "slow",
            Self::Silent => "io_timeout",
        }
    }
}
