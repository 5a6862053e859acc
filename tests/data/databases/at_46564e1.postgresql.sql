SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.serving_alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.serving_endpoints (
    id character varying(32) NOT NULL,
    workspace character varying(63) NOT NULL,
    name character varying(256) NOT NULL,
    enabled boolean NOT NULL,
    config text NOT NULL,
    model_created_ms bigint NOT NULL
);
CREATE TABLE public.serving_events (
    id bigint NOT NULL,
    endpoint_id character varying(32) NOT NULL,
    timestamp_ms bigint NOT NULL,
    version bigint,
    type character varying(64) NOT NULL,
    message text NOT NULL
);
CREATE SEQUENCE public.serving_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.serving_events_id_seq OWNED BY public.serving_events.id;
CREATE TABLE public.serving_tokens (
    id character varying(32) NOT NULL,
    digest character varying(64) NOT NULL,
    owner character varying(255) NOT NULL,
    account character varying(64) NOT NULL,
    comment text NOT NULL,
    created_ms bigint NOT NULL,
    expiry_ms bigint NOT NULL,
    scope_workspace character varying(63),
    scope_name character varying(256),
    last_used_ms bigint
);
ALTER TABLE ONLY public.serving_events ALTER COLUMN id SET DEFAULT nextval('public.serving_events_id_seq'::regclass);
INSERT INTO public.serving_alembic_version VALUES ('0002');
INSERT INTO public.serving_endpoints VALUES ('bdb2fe45fe9f4b2fa72967a16a683a92', 'default', 'iris', true, '{"batching": "auto", "default_dialect": "modern", "env_manager": "auto", "environment": {"A": "\u00fc"}, "max_batch_rows": 8, "max_open_files": 4096, "max_processes": 256, "memory_limit_mb": null, "network": "on", "replicas": 2, "request_timeout_s": 2.5, "runtime": "native", "sandbox": "auto"}', 1);
INSERT INTO public.serving_endpoints VALUES ('793d13740e944f13a9e43655221ae106', 'team', 'rosé 🌹', true, '{"batching": "auto", "default_dialect": "modern", "env_manager": "auto", "environment": {}, "max_batch_rows": 256, "max_open_files": 4096, "max_processes": 256, "memory_limit_mb": null, "network": "on", "replicas": 1, "request_timeout_s": null, "runtime": "native", "sandbox": "auto"}', 2);
INSERT INTO public.serving_endpoints VALUES ('d30dee8b764f4f7a877044f5cd7bb665', 'default', 'off', false, '{"batching": "auto", "default_dialect": "modern", "env_manager": "auto", "environment": {"A": "\u00fc"}, "max_batch_rows": 8, "max_open_files": 4096, "max_processes": 256, "memory_limit_mb": null, "network": "on", "replicas": 2, "request_timeout_s": 2.5, "runtime": "native", "sandbox": "auto"}', 3);
INSERT INTO public.serving_endpoints VALUES ('845a0a5a0e9c4d77b404f91035005397', 'default', 'after', true, '{"batching": "auto", "default_dialect": "modern", "env_manager": "auto", "environment": {}, "max_batch_rows": 256, "max_open_files": 4096, "max_processes": 256, "memory_limit_mb": null, "network": "on", "replicas": 1, "request_timeout_s": null, "runtime": "native", "sandbox": "auto"}', 4);
INSERT INTO public.serving_events VALUES (1, 'bdb2fe45fe9f4b2fa72967a16a683a92', 1795661763668, NULL, 'ENDPOINT_ENABLED', 'Serving was enabled by ada.');
INSERT INTO public.serving_events VALUES (2, '793d13740e944f13a9e43655221ae106', 1795661763676, NULL, 'ENDPOINT_ENABLED', 'Serving was enabled.');
INSERT INTO public.serving_events VALUES (3, 'd30dee8b764f4f7a877044f5cd7bb665', 1795661763678, NULL, 'ENDPOINT_ENABLED', 'Serving was enabled by ada.');
INSERT INTO public.serving_events VALUES (4, 'd30dee8b764f4f7a877044f5cd7bb665', 1795661763687, NULL, 'ENDPOINT_DISABLED', 'Serving was disabled by bob.');
INSERT INTO public.serving_events VALUES (5, '845a0a5a0e9c4d77b404f91035005397', 1795661763689, NULL, 'ENDPOINT_ENABLED', 'Serving was enabled by ada.');
INSERT INTO public.serving_events VALUES (6, '845a0a5a0e9c4d77b404f91035005397', 1795661763694, NULL, 'MODEL_RENAMED', 'The model was renamed from ''before'' to ''after''.');
INSERT INTO public.serving_events VALUES (7, 'bdb2fe45fe9f4b2fa72967a16a683a92', 1000, 3, 'VERSION_READY', 'Serving.');
INSERT INTO public.serving_events VALUES (8, 'bdb2fe45fe9f4b2fa72967a16a683a92', 1001, 12, 'VERSION_FAILED', 'no ''x''');
INSERT INTO public.serving_events VALUES (9, 'bdb2fe45fe9f4b2fa72967a16a683a92', 1002, NULL, 'ENDPOINT_READY', 'Serving.');
INSERT INTO public.serving_events VALUES (10, 'server', 1795661763712, NULL, 'TOKEN_CREATED', 'Token t1 for model ''iris'' only was created by ada.');
INSERT INTO public.serving_events VALUES (11, 'server', 1795661763714, NULL, 'TOKEN_CREATED', 'Token t2 was created by bob.');
INSERT INTO public.serving_events VALUES (12, 'server', 1795661763723, NULL, 'TOKEN_REVOKED', 'Token t2 of bob was revoked by root.');
INSERT INTO public.serving_tokens VALUES ('t1', 'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 'ada', 'a1', 'for CI', 5, -1, 'default', 'iris', NULL);
SELECT pg_catalog.setval('public.serving_events_id_seq', 12, true);
ALTER TABLE ONLY public.serving_alembic_version
    ADD CONSTRAINT serving_alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.serving_endpoints
    ADD CONSTRAINT serving_endpoints_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.serving_events
    ADD CONSTRAINT serving_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.serving_tokens
    ADD CONSTRAINT serving_tokens_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.serving_endpoints
    ADD CONSTRAINT uq_serving_endpoints_workspace_name UNIQUE (workspace, name);
CREATE INDEX ix_serving_events_endpoint_id ON public.serving_events USING btree (endpoint_id);
CREATE INDEX ix_serving_events_timestamp_ms ON public.serving_events USING btree (timestamp_ms);
CREATE UNIQUE INDEX ix_serving_tokens_digest ON public.serving_tokens USING btree (digest);
CREATE INDEX ix_serving_tokens_owner ON public.serving_tokens USING btree (owner);
