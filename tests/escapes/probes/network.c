/* The network and its neighbours: sockets of every kind, and connecting without connect(2). */
#include "probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_in6 loopback_6(const char *port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(number(port)) };

	address.sin6_addr.s6_addr[15] = 1;
	return address;
}

static struct sockaddr_in loopback(const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(number(port)) };

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

/* connect PROTOCOL PORT */
static void connecting(char **argument)
{
	struct sockaddr_in address = loopback(argument[1]);
	int descriptor = must(socket(AF_INET, SOCK_STREAM, number(argument[0])), "socket");

	must(connect(descriptor, (struct sockaddr *)&address, sizeof address), "connect");
}

/* connect6 PORT */
static void connecting_6(char **argument)
{
	struct sockaddr_in6 address = loopback_6(argument[0]);
	int descriptor = must(socket(AF_INET6, SOCK_STREAM, 0), "socket");

	must(connect(descriptor, (struct sockaddr *)&address, sizeof address), "connect");
}

/* fast-open HOW PORT: connect by sending. */
static void fast_open(char **argument)
{
	const char *how = argument[0];
	struct sockaddr_in address = loopback(argument[1]);
	struct iovec data = { "x", 1 };
	struct mmsghdr message = { .msg_hdr = { &address, sizeof address, &data, 1, NULL, 0, 0 } };
	int descriptor = must(socket(AF_INET, SOCK_STREAM, 0), "socket"), on = 1;

	if (strcmp(how, "sendto") == 0)
		must(sendto(descriptor, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address), how);
	else if (strcmp(how, "sendmsg") == 0)
		must(sendmsg(descriptor, &message.msg_hdr, MSG_FASTOPEN), how);
	else if (strcmp(how, "sendmmsg") == 0)
		must(sendmmsg(descriptor, &message, 1, MSG_FASTOPEN), how);
	else if (strcmp(how, "deferred") == 0) {
		must(setsockopt(descriptor, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on), "option");
		must(connect(descriptor, (struct sockaddr *)&address, sizeof address), "connect");
		must(write(descriptor, "x", 1), "write");
	} else
		broken(how);
}

/* upper-layer NAME: put another protocol onto TCP. */
static void upper_layer(char **argument)
{
	struct sockaddr_in address = loopback(argument[1]);
	int descriptor = must(socket(AF_INET, SOCK_STREAM, 0), "socket");

	must(connect(descriptor, (struct sockaddr *)&address, sizeof address), "connect");
	must(setsockopt(descriptor, IPPROTO_TCP, 31 /* TCP_ULP */, argument[0], strlen(argument[0])), "TCP_ULP");
}

/* datagram FAMILY PORT */
static void datagram(char **argument)
{
	struct sockaddr_in address = loopback(argument[1]);
	struct sockaddr_in6 address_6 = loopback_6(argument[1]);
	int family = number(argument[0]);
	int descriptor = must(socket(family, SOCK_DGRAM, 0), "socket");

	if (family == AF_INET)
		must(sendto(descriptor, "x", 1, 0, (struct sockaddr *)&address, sizeof address), "sendto");
	else
		must(sendto(descriptor, "x", 1, 0, (struct sockaddr *)&address_6, sizeof address_6), "sendto");
}

/* socket FAMILY KIND PROTOCOL */
static void any_socket(char **argument)
{
	must(syscall(SYS_socket, number(argument[0]), number(argument[1]), number(argument[2])), "socket");
}

/* listen HOW PORT */
static void listening(char **argument)
{
	const char *how = argument[0];
	struct sockaddr_in address = loopback(argument[1]);
	int descriptor = must(socket(AF_INET, SOCK_STREAM, 0), "socket");

	if (strcmp(how, "unbound") != 0)
		must(bind(descriptor, (struct sockaddr *)&address, sizeof address), "bind");
	must(listen(descriptor, 1), "listen");
}

/* listen-after-connect PORT: on the port that connecting took. */
static void listening_after(char **argument)
{
	struct sockaddr_in address = loopback(argument[0]);
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	int descriptor = must(socket(AF_INET, SOCK_STREAM, 0), "socket");

	must(connect(descriptor, (struct sockaddr *)&address, sizeof address), "connect");
	sure(connect(descriptor, &nowhere, sizeof nowhere), "letting go");
	must(listen(descriptor, 1), "listen");
}

/* netlink PROTOCOL GROUPS */
static void netlink(char **argument)
{
	struct {
		uint16_t family, padding;
		uint32_t port, groups;
	} address = { AF_NETLINK, 0, 0, number(argument[1]) };
	int descriptor = must(socket(AF_NETLINK, SOCK_RAW, number(argument[0])), "socket");

	must(bind(descriptor, (struct sockaddr *)&address, sizeof address), "bind");
}

static socklen_t name_address(struct sockaddr_un *address, const char *path)
{
	size_t length = strlen(path);

	address->sun_family = AF_UNIX;
	if (length >= sizeof address->sun_path)
		broken("the path is too long for a socket");
	memcpy(address->sun_path, path, length);
	if (*path == '@') /* an abstract name */
		address->sun_path[0] = '\0';
	return offsetof(struct sockaddr_un, sun_path) + length;
}

/* unix KIND PATH */
static void unix_socket(char **argument)
{
	struct sockaddr_un address = { 0 };
	socklen_t length = name_address(&address, argument[1]);
	int descriptor = must(socket(AF_UNIX, number(argument[0]), 0), "socket");

	must(connect(descriptor, (struct sockaddr *)&address, length), "connect");
}

/* unix-pair KIND PATH: one end of a datagram pair can send to any path. */
static void unix_pair(char **argument)
{
	struct sockaddr_un address = { 0 };
	socklen_t length = name_address(&address, argument[1]);
	int pair[2];

	must(socketpair(AF_UNIX, number(argument[0]), 0, pair), "socketpair");
	must(sendto(pair[0], "x", 1, 0, (struct sockaddr *)&address, length), "sendto");
}

/* unix-name KIND NAME: take a name that a service outside would have. */
static void unix_name(char **argument)
{
	struct sockaddr_un address = { 0 };
	socklen_t length = name_address(&address, argument[1]);
	int pair[2];

	must(socketpair(AF_UNIX, number(argument[0]), 0, pair), "socketpair");
	must(bind(pair[0], (struct sockaddr *)&address, length), "bind");
}

/* standard-socket HOW PORT-OR-NAME: standard input is a socket that was made outside. */
static void standard_socket(char **argument)
{
	const char *how = argument[0];

	if (strcmp(how, "connect") == 0) {
		struct sockaddr_in address = loopback(argument[1]);

		must(connect(0, (struct sockaddr *)&address, sizeof address), "connect");
	} else if (strcmp(how, "fast-open") == 0) {
		struct sockaddr_in address = loopback(argument[1]);

		must(sendto(0, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address), "sendto");
	} else if (strcmp(how, "bind") == 0) {
		struct sockaddr_in address = loopback("0");

		must(bind(0, (struct sockaddr *)&address, sizeof address), "bind");
	} else if (strcmp(how, "listen") == 0)
		must(listen(0, 1), "listen");
	else if (strcmp(how, "unix") == 0) {
		struct sockaddr_un address = { 0 };
		socklen_t length = name_address(&address, argument[1]);

		must(connect(0, (struct sockaddr *)&address, length), "connect");
	} else
		broken(how);
}

const struct probe network_probes[] = {
	{ "connect", 2, connecting },
	{ "connect6", 1, connecting_6 },
	{ "fast-open", 2, fast_open },
	{ "upper-layer", 2, upper_layer },
	{ "datagram", 2, datagram },
	{ "socket", 3, any_socket },
	{ "listen", 2, listening },
	{ "listen-after-connect", 1, listening_after },
	{ "netlink", 2, netlink },
	{ "unix", 2, unix_socket },
	{ "unix-pair", 2, unix_pair },
	{ "unix-name", 2, unix_name },
	{ "standard-socket", 2, standard_socket },
	{ NULL, 0, NULL },
};
