//! read-workspace under Lambda.

use api::{
    edge,
    settings::{self, Settings},
};
use read_workspace::{ReadWorkspace, routes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    let settings = Settings::from_env()?;
    let function = ReadWorkspace {
        api: settings.api(),
        check_job: settings.job_macs()?.1,
        broker_role: settings::required("BYOK_BROKER_ROLE_ARN")?,
    };
    edge::run(edge::finish(routes(function).into()), None).await
}
