//! set-workspace-key under Lambda.

use api::{
    edge,
    settings::{self, Settings},
};
use set_workspace_key::{SetWorkspaceKey, routes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    let settings = Settings::from_env()?;
    let kms = settings.kms()?;
    let function = SetWorkspaceKey {
        api: settings.api(),
        wrap: kms.wrap(),
        unwrap: kms.unwrap(),
        inspect: kms.inspect(),
        probe: kms.probe(),
        binding_mac: settings.make_binding_mac(),
        broker_role: settings::required("BYOK_BROKER_ROLE_ARN")?,
        deployment_key: Settings::deployment_key()?,
        accepts_permissive: Settings::accepts_permissive_keys()?,
    };
    edge::run(edge::finish(routes(function).into()), None).await
}
