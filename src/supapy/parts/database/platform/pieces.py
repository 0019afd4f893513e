"""The names of all that the migrations of the Auth and the Storage server made on their tables: of what later ones took
away as well, and of the indexes that a running Auth server makes (docs/decisions/0012)."""

from __future__ import annotations

from functools import cache

# The newest migrations whose names stand here.
KNOWN_UNTIL = {"auth": "20260625000000", "storage": "63"}


@cache
def known() -> dict[str, frozenset[tuple[str, str]]]:
    """The pieces (kind and name) of each table, by the table's schema and name."""
    found: dict[str, set[tuple[str, str]]] = {}
    for line in _MADE.replace("\n    ", " ").splitlines():
        what, _, names = line.partition(": ")
        table, _, kind = what.partition(" ")
        found.setdefault(table, set()).update((kind, name.strip()) for name in names.split(","))
    return {table: frozenset(pieces) for table, pieces in found.items()}


# Table, kind: names; what a line has no room for is indented on the next.
_MADE = """\
auth.audit_log_entries column: created_at, id, instance_id, ip_address, payload
auth.audit_log_entries index: audit_log_entries_pkey, audit_logs_instance_id_idx
auth.custom_oauth_providers column: acceptable_client_ids, attribute_mapping, authorization_params, authorization_url,
    cached_discovery, client_id, client_secret, created_at, custom_claims_allowlist, discovery_cached_at,
    discovery_url, email_optional, enabled, id, identifier, issuer, jwks_uri, name, pkce_enabled, provider_type,
    scopes, skip_nonce_check, token_url, updated_at, userinfo_url
auth.custom_oauth_providers index: custom_oauth_providers_created_at_idx, custom_oauth_providers_enabled_idx,
    custom_oauth_providers_identifier_idx, custom_oauth_providers_identifier_key, custom_oauth_providers_pkey,
    custom_oauth_providers_provider_type_idx
auth.custom_oauth_providers constraint: custom_oauth_providers_authorization_url_https,
    custom_oauth_providers_authorization_url_length, custom_oauth_providers_client_id_length,
    custom_oauth_providers_discovery_url_length, custom_oauth_providers_identifier_format,
    custom_oauth_providers_issuer_length, custom_oauth_providers_jwks_uri_https,
    custom_oauth_providers_jwks_uri_length, custom_oauth_providers_name_length,
    custom_oauth_providers_oauth2_requires_endpoints, custom_oauth_providers_oidc_discovery_url_https,
    custom_oauth_providers_oidc_issuer_https, custom_oauth_providers_oidc_requires_issuer,
    custom_oauth_providers_provider_type_check, custom_oauth_providers_token_url_https,
    custom_oauth_providers_token_url_length, custom_oauth_providers_userinfo_url_https,
    custom_oauth_providers_userinfo_url_length
auth.flow_state column: auth_code, auth_code_issued_at, authentication_method, code_challenge, code_challenge_method,
    created_at, email_optional, id, invite_token, linking_target_id, oauth_client_state_id, provider_access_token,
    provider_refresh_token, provider_type, referrer, updated_at, user_id
auth.flow_state index: flow_state_created_at_idx, flow_state_pkey, idx_auth_code, idx_user_id_auth_method
auth.identities column: created_at, email, id, identity_data, last_sign_in_at, provider, provider_id, updated_at,
    user_id
auth.identities index: identities_email_idx, identities_pkey, identities_provider_id_provider_unique,
    identities_user_id_idx
auth.identities constraint: identities_user_id_fkey
auth.instances column: created_at, id, raw_base_config, updated_at, uuid
auth.instances index: instances_pkey
auth.mfa_amr_claims column: authentication_method, created_at, id, session_id, updated_at
auth.mfa_amr_claims index: amr_id_pk, mfa_amr_claims_session_id_authentication_method_pkey
auth.mfa_amr_claims constraint: mfa_amr_claims_session_id_fkey
auth.mfa_challenges column: created_at, factor_id, id, ip_address, otp_code, sent_at, verified_at,
    web_authn_session_data
auth.mfa_challenges index: idx_sent_at, mfa_challenge_created_at_idx, mfa_challenges_pkey
auth.mfa_challenges constraint: mfa_challenges_auth_factor_id_fkey
auth.mfa_factors column: created_at, factor_type, friendly_name, id, last_challenged_at, last_webauthn_challenge_data,
    phone, secret, status, updated_at, user_id, web_authn_aaguid, web_authn_credential
auth.mfa_factors index: factor_id_created_at_idx, mfa_factors_last_challenged_at_key, mfa_factors_phone_key,
    mfa_factors_pkey, mfa_factors_user_friendly_name_unique, mfa_factors_user_id_idx, unique_phone_factor_per_user,
    unique_verified_phone_factor
auth.mfa_factors constraint: mfa_factors_user_id_fkey
auth.oauth_authorizations column: approved_at, authorization_code, authorization_id, client_id, code_challenge,
    code_challenge_method, created_at, expires_at, id, nonce, redirect_uri, resource, response_type, scope, state,
    status, user_id
auth.oauth_authorizations index: oauth_auth_pending_exp_idx, oauth_authorizations_authorization_code_key,
    oauth_authorizations_authorization_id_key, oauth_authorizations_pkey
auth.oauth_authorizations constraint: oauth_authorizations_authorization_code_length,
    oauth_authorizations_client_id_fkey, oauth_authorizations_code_challenge_length,
    oauth_authorizations_expires_at_future, oauth_authorizations_nonce_length,
    oauth_authorizations_redirect_uri_length, oauth_authorizations_resource_length, oauth_authorizations_scope_length,
    oauth_authorizations_state_length, oauth_authorizations_user_id_fkey
auth.oauth_client_states column: code_verifier, created_at, id, provider_type
auth.oauth_client_states index: idx_oauth_client_states_created_at, oauth_client_states_pkey
auth.oauth_clients column: client_id, client_name, client_secret_hash, client_type, client_uri, created_at,
    deleted_at, grant_types, id, logo_uri, redirect_uris, registration_type, token_endpoint_auth_method, updated_at
auth.oauth_clients index: oauth_clients_client_id_idx, oauth_clients_client_id_key, oauth_clients_deleted_at_idx,
    oauth_clients_pkey
auth.oauth_clients constraint: oauth_clients_client_name_length, oauth_clients_client_uri_length,
    oauth_clients_logo_uri_length, oauth_clients_token_endpoint_auth_method_check
auth.oauth_consents column: client_id, granted_at, id, revoked_at, scopes, user_id
auth.oauth_consents index: oauth_consents_active_client_idx, oauth_consents_active_user_client_idx,
    oauth_consents_pkey, oauth_consents_user_client_unique, oauth_consents_user_order_idx
auth.oauth_consents constraint: oauth_consents_client_id_fkey, oauth_consents_revoked_after_granted,
    oauth_consents_scopes_length, oauth_consents_scopes_not_empty, oauth_consents_user_id_fkey
auth.one_time_tokens column: created_at, id, relates_to, token_hash, token_type, updated_at, user_id
auth.one_time_tokens index: one_time_tokens_pkey, one_time_tokens_relates_to_hash_idx,
    one_time_tokens_token_hash_hash_idx, one_time_tokens_user_id_token_type_key
auth.one_time_tokens constraint: one_time_tokens_token_hash_check, one_time_tokens_user_id_fkey
auth.refresh_tokens column: created_at, id, instance_id, parent, revoked, session_id, token, updated_at, user_id
auth.refresh_tokens index: refresh_token_session_id, refresh_tokens_instance_id_idx,
    refresh_tokens_instance_id_user_id_idx, refresh_tokens_parent_idx, refresh_tokens_pkey,
    refresh_tokens_session_id_revoked_idx, refresh_tokens_token_idx, refresh_tokens_token_unique,
    refresh_tokens_updated_at_idx
auth.refresh_tokens constraint: refresh_tokens_parent_fkey, refresh_tokens_session_id_fkey
auth.saml_providers column: attribute_mapping, created_at, entity_id, id, metadata_url, metadata_xml, name_id_format,
    sso_provider_id, updated_at
auth.saml_providers index: saml_providers_entity_id_key, saml_providers_pkey, saml_providers_sso_provider_id_idx
auth.saml_providers constraint: entity_id not empty, metadata_url not empty, metadata_xml not empty,
    saml_providers_sso_provider_id_fkey
auth.saml_relay_states column: created_at, flow_state_id, for_email, from_ip_address, id, redirect_to, request_id,
    sso_provider_id, updated_at
auth.saml_relay_states index: saml_relay_states_created_at_idx, saml_relay_states_for_email_idx,
    saml_relay_states_pkey, saml_relay_states_sso_provider_id_idx
auth.saml_relay_states constraint: request_id not empty, saml_relay_states_flow_state_id_fkey,
    saml_relay_states_sso_provider_id_fkey
auth.schema_migrations column: version
auth.schema_migrations index: schema_migrations_pkey
auth.sessions column: aal, created_at, factor_id, id, ip, not_after, oauth_client_id, refresh_token_counter,
    refresh_token_hmac_key, refreshed_at, scopes, tag, updated_at, user_agent, user_id
auth.sessions index: sessions_not_after_idx, sessions_oauth_client_id_idx, sessions_pkey, sessions_user_id_idx,
    user_id_created_at_idx
auth.sessions constraint: sessions_oauth_client_id_fkey, sessions_scopes_length, sessions_user_id_fkey
auth.sso_domains column: created_at, domain, id, sso_provider_id, updated_at
auth.sso_domains index: sso_domains_domain_idx, sso_domains_pkey, sso_domains_sso_provider_id_idx
auth.sso_domains constraint: domain not empty, sso_domains_sso_provider_id_fkey
auth.sso_providers column: created_at, disabled, id, resource_id, updated_at
auth.sso_providers index: sso_providers_pkey, sso_providers_resource_id_idx, sso_providers_resource_id_pattern_idx
auth.sso_providers constraint: resource_id not empty
auth.sso_sessions column: created_at, id, idp_initiated, not_after, not_before, session_id, sso_provider_id,
    updated_at
auth.sso_sessions index: sso_sessions_pkey, sso_sessions_session_id_idx, sso_sessions_sso_provider_id_idx
auth.sso_sessions constraint: sso_sessions_session_id_fkey, sso_sessions_sso_provider_id_fkey
auth.users column: aud, banned_until, confirmation_sent_at, confirmation_token, confirmed_at, created_at, deleted_at,
    email, email_change, email_change_confirm_status, email_change_sent_at, email_change_token,
    email_change_token_current, email_change_token_new, email_confirmed_at, encrypted_password, id, instance_id,
    invited_at, is_anonymous, is_sso_user, is_super_admin, last_sign_in_at, phone, phone_change, phone_change_sent_at,
    phone_change_token, phone_confirmed_at, raw_app_meta_data, raw_user_meta_data, reauthentication_sent_at,
    reauthentication_token, recovery_sent_at, recovery_token, role, updated_at
auth.users index: confirmation_token_idx, email_change_token_current_idx, email_change_token_new_idx,
    idx_users_created_at_desc, idx_users_email, idx_users_last_sign_in_at_desc, idx_users_name,
    reauthentication_token_idx, recovery_token_idx, users_email_key, users_email_partial_key,
    users_instance_id_email_idx, users_instance_id_idx, users_is_anonymous_idx, users_phone_key, users_pkey
auth.users constraint: users_email_change_confirm_status_check
auth.webauthn_challenges column: challenge_type, created_at, expires_at, id, session_data, user_id
auth.webauthn_challenges index: webauthn_challenges_expires_at_idx, webauthn_challenges_pkey,
    webauthn_challenges_user_id_idx
auth.webauthn_challenges constraint: webauthn_challenges_challenge_type_check, webauthn_challenges_user_id_fkey
auth.webauthn_credentials column: aaguid, attestation_type, backed_up, backup_eligible, created_at, credential_id,
    friendly_name, id, last_used_at, public_key, sign_count, transports, updated_at, user_id
auth.webauthn_credentials index: webauthn_credentials_credential_id_key, webauthn_credentials_pkey,
    webauthn_credentials_user_id_idx
auth.webauthn_credentials constraint: webauthn_credentials_user_id_fkey
storage.buckets column: allowed_mime_types, avif_autodetection, created_at, file_size_limit, id, max_file_size_kb,
    name, owner, owner_id, public, type, updated_at, versioning_status
storage.buckets index: bname, buckets_pkey
storage.buckets constraint: buckets_owner_fkey, buckets_versioning_dark_check, buckets_versioning_standard_only_check,
    buckets_versioning_status_check
storage.buckets_analytics column: created_at, deleted_at, format, id, name, type, updated_at
storage.buckets_analytics index: buckets_analytics_pkey, buckets_analytics_unique_name_idx
storage.buckets_vectors column: created_at, id, type, updated_at
storage.buckets_vectors index: buckets_vectors_pkey
storage.iceberg_namespaces column: bucket_id, bucket_name, catalog_id, created_at, id, metadata, name, updated_at
storage.iceberg_namespaces index: iceberg_namespaces_pkey, idx_iceberg_namespaces_bucket_id
storage.iceberg_namespaces constraint: iceberg_namespaces_bucket_id_fkey, iceberg_namespaces_catalog_id_fkey
storage.iceberg_tables column: bucket_id, bucket_name, catalog_id, created_at, id, location, name, namespace_id,
    remote_table_id, shard_id, shard_key, updated_at
storage.iceberg_tables index: iceberg_tables_pkey, idx_iceberg_tables_location, idx_iceberg_tables_namespace_id
storage.iceberg_tables constraint: iceberg_tables_bucket_id_fkey, iceberg_tables_catalog_id_fkey,
    iceberg_tables_namespace_id_fkey
storage.migrations column: executed_at, hash, id, name
storage.migrations index: migrations_name_key, migrations_pkey
storage.objects column: archived_at, bucket_id, created_at, id, is_delete_marker, is_versioned, last_accessed_at,
    level, metadata, name, owner, owner_id, path_tokens, updated_at, user_metadata, version
storage.objects index: bucketid_objname, idx_name_bucket_level_unique, idx_objects_bucket_id_name,
    idx_objects_bucket_id_name_lower, idx_objects_lower_name, name_prefix_search, objects_bucket_id_level_idx,
    objects_pkey
storage.objects constraint: objects_bucketId_fkey, objects_owner_fkey
storage.prefixes column: bucket_id, created_at, level, name, updated_at
storage.prefixes index: idx_prefixes_lower_name, prefixes_pkey
storage.prefixes constraint: prefixes_bucketId_fkey
storage.s3_multipart_uploads column: bucket_id, created_at, id, in_progress_size, key, metadata, owner_id,
    upload_signature, user_metadata, version
storage.s3_multipart_uploads index: idx_multipart_uploads_list, s3_multipart_uploads_pkey
storage.s3_multipart_uploads constraint: s3_multipart_uploads_bucket_id_fkey
storage.s3_multipart_uploads_parts column: bucket_id, created_at, etag, id, key, owner_id, part_number, size,
    upload_id, version
storage.s3_multipart_uploads_parts index: s3_multipart_uploads_parts_pkey
storage.s3_multipart_uploads_parts constraint: s3_multipart_uploads_parts_bucket_id_fkey,
    s3_multipart_uploads_parts_upload_id_fkey
storage.vector_indexes column: bucket_id, created_at, data_type, dimension, distance_metric, id,
    metadata_configuration, name, updated_at
storage.vector_indexes index: vector_indexes_name_bucket_id_idx, vector_indexes_pkey
storage.vector_indexes constraint: vector_indexes_bucket_id_fkey
"""
