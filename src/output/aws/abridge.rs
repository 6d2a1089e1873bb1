//! Answers that say little in many bytes.

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt as _, Limited};
use memchr::memmem;

/// No answer of a service is longer.
const ANSWER_MAX: usize = 4 << 20;

/// A client whose answers, where they hold `sign`, are put before the SDK as `short`.
///
/// For each record that `PutRecordBatch` took the answer has an id that nobody wants. Reading 500 of them into values cost a
/// twentieth of the time of a whole request.
pub(in crate::output) fn abridged(
    connector: SharedHttpConnector,
    sign: &'static [u8],
    short: &'static str,
) -> SharedHttpClient {
    let abridging = SharedHttpConnector::new(Abridging {
        connector,
        sign,
        short,
    });
    http_client_fn(move |_, _| abridging.clone())
}

#[derive(Debug)]
struct Abridging {
    connector: SharedHttpConnector,
    sign: &'static [u8],
    short: &'static str,
}

impl HttpConnector for Abridging {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.connector.call(request);
        let (sign, short) = (self.sign, self.short);
        HttpConnectorFuture::new(async move {
            let mut answer: HttpResponse = answer.await?;
            if answer.status().is_success() {
                let body = Limited::new(answer.take_body(), ANSWER_MAX).collect().await;
                let body = body.map_err(ConnectorError::io)?.to_bytes();
                *answer.body_mut() = if memmem::find(&body, sign).is_some() {
                    SdkBody::from(short)
                } else {
                    SdkBody::from(body)
                };
            }
            Ok(answer)
        })
    }
}
