BEGIN TRANSACTION;
CREATE TABLE serving_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT serving_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "serving_alembic_version" VALUES('0002');
CREATE TABLE serving_endpoints (
	id VARCHAR(32) NOT NULL, 
	workspace VARCHAR(63) NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	config TEXT NOT NULL, 
	model_created_ms BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_serving_endpoints_workspace_name UNIQUE (workspace, name)
);
INSERT INTO "serving_endpoints" VALUES('10f2feae677342759ac8d3c5fb181960','default','iris',1,'{"batching": "auto", "default_dialect": "modern", "env_manager": "auto", "environment": {"A": "\u00fc"}, "max_batch_rows": 8, "max_open_files": 4096, "max_processes": 256, "memory_limit_mb": null, "network": "on", "replicas": 2, "request_timeout_s": 2.5, "runtime": "native", "sandbox": "auto"}',1);
INSERT INTO "serving_endpoints" VALUES('81a1e6529fa24f49a1cf8b8b24689509','team','rosé 🌹',1,'{"batching": "auto", "default_dialect": "modern", "env_manager": "auto", "environment": {}, "max_batch_rows": 256, "max_open_files": 4096, "max_processes": 256, "memory_limit_mb": null, "network": "on", "replicas": 1, "request_timeout_s": null, "runtime": "native", "sandbox": "auto"}',2);
INSERT INTO "serving_endpoints" VALUES('e652ef2b983547b3a4ced350609ecb1a','default','off',0,'{"batching": "auto", "default_dialect": "modern", "env_manager": "auto", "environment": {"A": "\u00fc"}, "max_batch_rows": 8, "max_open_files": 4096, "max_processes": 256, "memory_limit_mb": null, "network": "on", "replicas": 2, "request_timeout_s": 2.5, "runtime": "native", "sandbox": "auto"}',3);
INSERT INTO "serving_endpoints" VALUES('3a9c47c9e3dd46d69820f95b109397a8','default','after',1,'{"batching": "auto", "default_dialect": "modern", "env_manager": "auto", "environment": {}, "max_batch_rows": 256, "max_open_files": 4096, "max_processes": 256, "memory_limit_mb": null, "network": "on", "replicas": 1, "request_timeout_s": null, "runtime": "native", "sandbox": "auto"}',4);
CREATE TABLE serving_events (
	id INTEGER NOT NULL, 
	endpoint_id VARCHAR(32) NOT NULL, 
	timestamp_ms BIGINT NOT NULL, 
	version BIGINT, 
	type VARCHAR(64) NOT NULL, 
	message TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "serving_events" VALUES(1,'10f2feae677342759ac8d3c5fb181960',1795661764723,NULL,'ENDPOINT_ENABLED','Serving was enabled by ada.');
INSERT INTO "serving_events" VALUES(2,'81a1e6529fa24f49a1cf8b8b24689509',1795661764729,NULL,'ENDPOINT_ENABLED','Serving was enabled.');
INSERT INTO "serving_events" VALUES(3,'e652ef2b983547b3a4ced350609ecb1a',1795661764744,NULL,'ENDPOINT_ENABLED','Serving was enabled by ada.');
INSERT INTO "serving_events" VALUES(4,'e652ef2b983547b3a4ced350609ecb1a',1795661764756,NULL,'ENDPOINT_DISABLED','Serving was disabled by bob.');
INSERT INTO "serving_events" VALUES(5,'3a9c47c9e3dd46d69820f95b109397a8',1795661764766,NULL,'ENDPOINT_ENABLED','Serving was enabled by ada.');
INSERT INTO "serving_events" VALUES(6,'3a9c47c9e3dd46d69820f95b109397a8',1795661764781,NULL,'MODEL_RENAMED','The model was renamed from ''before'' to ''after''.');
INSERT INTO "serving_events" VALUES(7,'10f2feae677342759ac8d3c5fb181960',1000,3,'VERSION_READY','Serving.');
INSERT INTO "serving_events" VALUES(8,'10f2feae677342759ac8d3c5fb181960',1001,12,'VERSION_FAILED','no ''x''');
INSERT INTO "serving_events" VALUES(9,'10f2feae677342759ac8d3c5fb181960',1002,NULL,'ENDPOINT_READY','Serving.');
INSERT INTO "serving_events" VALUES(10,'server',1795661764809,NULL,'TOKEN_CREATED','Token t1 for model ''iris'' only was created by ada.');
INSERT INTO "serving_events" VALUES(11,'server',1795661764828,NULL,'TOKEN_CREATED','Token t2 was created by bob.');
INSERT INTO "serving_events" VALUES(12,'server',1795661764855,NULL,'TOKEN_REVOKED','Token t2 of bob was revoked by root.');
CREATE TABLE serving_tokens (
	id VARCHAR(32) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	owner VARCHAR(255) NOT NULL, 
	account VARCHAR(64) NOT NULL, 
	comment TEXT NOT NULL, 
	created_ms BIGINT NOT NULL, 
	expiry_ms BIGINT NOT NULL, 
	scope_workspace VARCHAR(63), 
	scope_name VARCHAR(256), 
	last_used_ms BIGINT, 
	PRIMARY KEY (id)
);
INSERT INTO "serving_tokens" VALUES('t1','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','ada','a1','for CI',5,-1,'default','iris',NULL);
CREATE INDEX ix_serving_events_endpoint_id ON serving_events (endpoint_id);
CREATE INDEX ix_serving_events_timestamp_ms ON serving_events (timestamp_ms);
CREATE UNIQUE INDEX ix_serving_tokens_digest ON serving_tokens (digest);
CREATE INDEX ix_serving_tokens_owner ON serving_tokens (owner);
COMMIT;
