# The program, and the libraries for others: find_package(Thresher), then link thresher::science,
# thresher::mpi or thresher::io.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(TARGETS thresher RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET thresher_cuda)
    install(TARGETS thresher_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY jobs/configs DESTINATION ${CMAKE_INSTALL_DATADIR}/thresher)
install(DIRECTORY src mpi io DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/thresher
        FILES_MATCHING PATTERN "*.hpp")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Thresher)
install(TARGETS thresher_science thresher_mpi thresher_io thresher_random123 thresher_highway
                thresher_xxhash thresher_sentencepiece thresher_hdf5 thresher_torch
        EXPORT thresher ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT thresher NAMESPACE thresher:: FILE ThresherTargets.cmake
        DESTINATION ${package_dir})
configure_package_config_file(cmake/ThresherConfig.cmake.in
    "${CMAKE_CURRENT_BINARY_DIR}/ThresherConfig.cmake" INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/ThresherConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/ThresherConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/ThresherConfigVersion.cmake"
        DESTINATION ${package_dir})
