//! use-secret-stream under Lambda, behind a function URL: the pass-through alone, whose
//! answers stream.

use api::edge;
use use_secret::{deployed, pass_through};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    edge::run_streaming(edge::finish(pass_through(deployed()?).into())).await
}
