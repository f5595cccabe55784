"""No message about a bucket shows the credentials that open it."""

from batchgate.providers.batches.secret_redaction import without_secrets
from tests.unit.providers.calls import account

KEY = '{"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"the secret key","SessionToken":"the session token"}'


def test_no_part_of_the_credentials_of_an_account_or_its_bucket_is_shown() -> None:
    options: dict[str, str | bool] = {"aws_secret_access_key": "of the bucket", "endpoint": "http://storage.example"}
    shown = without_secrets(
        account(api_key=KEY, batch_options=options),
        "http://storage.example refused 'the secret key', 'the session token' and 'of the bucket'",
    )
    assert shown == "http://storage.example refused '[key]', '[key]' and '[key]'"
