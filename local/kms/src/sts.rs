//! STS GetCallerIdentity, on the same port: the Query protocol, a form in and XML out.

use crate::ops::Cx;

/// Whether a form body asks for GetCallerIdentity.
pub(crate) fn is_get_caller_identity(body: &[u8]) -> bool {
    body.split(|byte| *byte == b'&')
        .any(|pair| pair == b"Action=GetCallerIdentity")
}

/// STS API reference, "GetCallerIdentity". ARNs and ids hold nothing that XML would need escaped
/// but a role session's `&` or `<`, which AWS does not allow in its name.
pub(crate) fn answer(cx: &Cx<'_>, request_id: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
         <GetCallerIdentityResult>\n    <Arn>{}</Arn>\n    <UserId>{}</UserId>\n    \
         <Account>{}</Account>\n  </GetCallerIdentityResult>\n  <ResponseMetadata>\n    \
         <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n\
         </GetCallerIdentityResponse>\n",
        cx.caller.arn(),
        cx.caller.user_id(),
        cx.caller.account,
    )
}

/// An error in the Query protocol's shape.
pub(crate) fn error(code: &str, message: &str, request_id: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    \
         <Type>Sender</Type>\n    <Code>{code}</Code>\n    <Message>{message}</Message>\n  \
         </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n"
    )
}
